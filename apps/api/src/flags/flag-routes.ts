import type { PersonFlagKind, PersonFlagStore, ReadQueries } from "@polder/clickhouse";
import type { Purpose } from "@polder/protocol";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import { limitBody, requireJson } from "../audiences/require-json.ts";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import type { IdKind } from "../schemas.ts";
import * as schemas from "./flag-schemas.ts";

export interface FlagRoutesOptions {
  store: PersonFlagStore;
}

export interface FlagRoutesDeps extends FlagRoutesOptions {
  queries: Pick<ReadQueries, "findPerson">;
  guarded: MiddlewareHandler;
  findSite: (context: Context, id: string | undefined) => { id: string } | Response;
  /** Milliseconds since 1970. */
  now: () => number;
}

interface Asked {
  site?: string | undefined;
  by: IdKind;
  id: string;
  flag: PersonFlagKind;
  isSet: boolean;
  purposes: readonly Purpose[];
  actor: string;
  reason: string;
}

/** Restriction of processing (GDPR article 18) and objection (article 21). */
export function addFlagRoutes(app: Hono, { store, queries, guarded, findSite, now }: FlagRoutesDeps): void {
  async function findPerson(site: string, id: string, by: IdKind): Promise<number | undefined> {
    if (by === "any") return queries.findPerson(site, { by: "id", value: id });
    if (by !== "person") return queries.findPerson(site, { by, value: id });
    const isNumber = /^[1-9]\d{0,9}$/.test(id) && Number(id) < 2 ** 32;
    return isNumber ? queries.findPerson(site, { by, value: Number(id) }) : undefined;
  }

  async function decide(context: Context, { site: siteId, by, id, ...decision }: Asked): Promise<Response> {
    const site = findSite(context, siteId);
    if (site instanceof Response) return site;
    const person = await findPerson(site.id, id, by);
    const decided =
      person === undefined
        ? undefined
        : await store.decide({ site: site.id, person, at: new Date(now()), ...decision });
    if (decided === undefined) return answerError(context, "person_not_found");
    return context.json({ site: site.id, person, id: decided }, 200, private_);
  }

  const written = {
    200: answers("Written down, and obeyed from now on", schemas.flaggedAnswer),
    ...failures(400, 401, 404, 415, 503),
  };
  const restriction = (isSet: boolean) =>
    [
      guarded,
      requireJson,
      limitBody,
      describeRoute({
        description: isSet
          ? "Restricts a person: used for nothing but what is necessary, and sent to nobody, whatever was agreed to."
          : "Lifts the restriction of a person.",
        responses: written,
      }),
      validator("param", schemas.personParameter, refuseForm),
      validator("query", schemas.personQuery, refuseForm),
      validator("json", schemas.restrictionBody, refuseForm),
    ] as const;
  const objections = (isSet: boolean) =>
    [
      guarded,
      requireJson,
      limitBody,
      describeRoute({
        description: isSet
          ? "Files that a person objects to purposes: not used for them, whatever was agreed to."
          : "Takes objections of a person back.",
        responses: written,
      }),
      validator("param", schemas.personParameter, refuseForm),
      validator("query", schemas.personQuery, refuseForm),
      validator("json", schemas.objectionBody, refuseForm),
    ] as const;

  app.post("/v1/people/:id/restriction", ...restriction(true), (context) =>
    decide(context, {
      ...context.req.valid("query"),
      ...context.req.valid("param"),
      ...context.req.valid("json"),
      flag: "restrict",
      purposes: [],
      isSet: true,
    }),
  );
  app.delete("/v1/people/:id/restriction", ...restriction(false), (context) =>
    decide(context, {
      ...context.req.valid("query"),
      ...context.req.valid("param"),
      ...context.req.valid("json"),
      flag: "restrict",
      purposes: [],
      isSet: false,
    }),
  );
  app.post("/v1/people/:id/objections", ...objections(true), (context) =>
    decide(context, {
      ...context.req.valid("query"),
      ...context.req.valid("param"),
      ...context.req.valid("json"),
      flag: "object",
      isSet: true,
    }),
  );
  app.delete("/v1/people/:id/objections", ...objections(false), (context) =>
    decide(context, {
      ...context.req.valid("query"),
      ...context.req.valid("param"),
      ...context.req.valid("json"),
      flag: "object",
      isSet: false,
    }),
  );

  app.get(
    "/v1/people/:id/flags",
    guarded,
    describeRoute({
      description:
        "Restrictions and objections of a person, those that hold and those before: who filed them, when and why.",
      responses: { 200: answers("The flags", schemas.flagsAnswer), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.personParameter, refuseForm),
    validator("query", schemas.personQuery, refuseForm),
    async (context) => {
      const { site: siteId, by } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const person = await findPerson(site.id, context.req.valid("param").id, by);
      if (person === undefined) return answerError(context, "person_not_found");
      return context.json({ site: site.id, person, flags: await store.flagsOf(site.id, person) }, 200, private_);
    },
  );
}
