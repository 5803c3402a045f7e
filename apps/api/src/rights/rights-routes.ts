import type { PersonExport } from "@polder/clickhouse";
import type { ErasedPart, ErasureStore, RequestedErasure } from "@polder/core";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as v from "valibot";
import { limitBody, requireJson } from "../audiences/require-json.ts";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import { personFile } from "./person-file.ts";
import * as schemas from "./rights-schemas.ts";

export interface RightsOptions {
  erasures: Pick<ErasureStore, "findPeople" | "request" | "receipt" | "list">;
  exports: PersonExport;
}

export interface RightsRoutesOptions extends RightsOptions {
  findSite: (context: Context, id: string | undefined) => { id: string } | Response;
  guarded: MiddlewareHandler;
  /** Milliseconds since 1970. */
  now: () => number;
}

type By = "any" | "person" | "user" | "anonymous";

const maxListed = 1_000;

/** What a person may ask for: to be forgotten, and to know everything that is stored. */
export function addRightsRoutes(app: Hono, options: RightsRoutesOptions): void {
  const { erasures, exports, findSite, guarded, now } = options;

  const findPerson = async (site: string, id: string, by: By): Promise<number | undefined> =>
    (await erasures.findPeople(site, [id], by)).get(id);
  const order = async (
    site: string,
    people: readonly number[],
    { actor, reason, ...part }: { actor: string; reason: string } & ErasedPart,
  ): Promise<RequestedErasure[]> =>
    erasures.request({ site, people, actor, reason, at: new Date(now()), part: isPart(part) ? part : undefined });

  app.post(
    "/v1/people/:id/erase",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description:
        "Erases a person, or some traits of one. No view and no question knows a person from the moment of the answer on; the rows are removed from every table in about a minute, its number in audiences two minutes later. What is sent again of before is refused; whoever comes back is somebody new.",
      responses: { 202: answers("Written down", schemas.eraseAnswer), ...failures(400, 401, 404, 415, 503) },
    }),
    validator("param", schemas.personParameter, refuseForm),
    validator("json", schemas.eraseBody, refuseForm),
    async (context) => {
      const { site: siteId, by, ...given } = context.req.valid("json");
      const fault = partFault(given);
      if (fault !== undefined) return answerError(context, "invalid_request", fault);
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const person = await findPerson(site.id, context.req.valid("param").id, by);
      const [erasure] = person === undefined ? [] : await order(site.id, [person], given);
      if (erasure === undefined) return answerError(context, "person_not_found");
      return context.json(toAnswer(erasure), 202, private_);
    },
  );

  app.post(
    "/v1/erasures",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description: "Erases up to 1,000 people at once, or some traits of each. As /v1/people/{id}/erase.",
      responses: { 202: answers("Written down", schemas.eraseManyAnswer), ...failures(400, 401, 404, 415, 503) },
    }),
    validator("json", schemas.eraseManyBody, refuseForm),
    async (context) => {
      const { site: siteId, by, people, ...given } = context.req.valid("json");
      const fault = partFault(given);
      if (fault !== undefined) return answerError(context, "invalid_request", fault);
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const ids = [...new Set(people)];
      const found = await erasures.findPeople(site.id, ids, by);
      const requested = await order(site.id, [...new Set(found.values())], given);
      const byPerson = new Map(requested.map((erasure) => [erasure.asked, erasure]));
      const done = [...found].flatMap(([id, person]) => {
        const erasure = byPerson.get(person);
        return erasure === undefined ? [] : [{ id, ...toAnswer(erasure) }];
      });
      const known = new Set(done.map(({ id }) => id));
      return context.json({ erasures: done, notFound: ids.filter((id) => !known.has(id)) }, 202, private_);
    },
  );

  app.get(
    "/v1/erasures",
    guarded,
    describeRoute({
      description: "Who asked when and why for an erasure, and how far it is. The newest first, 1,000 at most.",
      responses: { 200: answers("Erasures", schemas.erasureList), ...failures(400, 401, 404, 503) },
    }),
    validator("query", schemas.listQuery, refuseForm),
    async (context) => {
      const { site: siteId } = context.req.valid("query");
      const site = siteId === undefined ? undefined : findSite(context, siteId);
      if (site instanceof Response) return site;
      return context.json({ erasures: await erasures.list({ site: site?.id, limit: maxListed }) }, 200, private_);
    },
  );

  app.get(
    "/v1/erasures/:id",
    guarded,
    describeRoute({
      description: "The receipt of an erasure: rows by table before and after.",
      responses: { 200: answers("The receipt", schemas.erasureReceipt), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.erasureParameter, refuseForm),
    async (context) => {
      const receipt = await erasures.receipt(context.req.valid("param").id);
      return receipt === undefined
        ? answerError(context, "erasure_not_found")
        : context.json(receipt satisfies v.InferInput<typeof schemas.erasureReceipt>, 200, private_);
    },
  );

  app.get(
    "/v1/people/:id/export",
    guarded,
    describeRoute({
      description:
        "Everything that is stored of a person, with origin, basis, purposes and recipients, and every choice with the text that was shown. Streamed.",
      responses: {
        200: { description: "A file", content: { "application/json": {}, "text/csv": {} } },
        ...failures(400, 401, 404, 503),
      },
    }),
    validator("param", schemas.personParameter, refuseForm),
    validator("query", schemas.exportQuery, refuseForm),
    async (context) => {
      const { site: siteId, by, format } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const person = await findPerson(site.id, context.req.valid("param").id, by);
      const rows = person === undefined ? undefined : await exports.read(site.id, person);
      if (person === undefined || rows === undefined) return answerError(context, "person_not_found");
      const lines = personFile(format, rows, { site: site.id, person, exportedAt: new Date(now()) });
      return context.body(toStream(lines), 200, {
        ...private_,
        "content-type": format === "csv" ? "text/csv; charset=utf-8" : "application/json; charset=utf-8",
        "content-disposition": `attachment; filename="person-${person}.${format}"`,
      });
    },
  );
}

const isPart = (part: ErasedPart): boolean => part.traits !== undefined || part.class !== undefined;

/** A `keep` alone would be read as "everything but this", and everything would go. */
const partFault = ({ keep, ...part }: ErasedPart): string | undefined =>
  keep !== undefined && !isPart(part)
    ? "keep needs traits or class: without them the whole person is erased"
    : undefined;

const toAnswer = ({ id, person, kind, identities, traits }: RequestedErasure) => ({
  erasure: id,
  person,
  kind,
  identities,
  traits,
});

/** A reader that goes away ends the question. */
function toStream(lines: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      // Some lines at a time: one each would cost more than what is in it.
      let text = "";
      while (text.length < 16 * 1024) {
        const { value, done } = await lines.next();
        if (done === true) {
          if (text !== "") controller.enqueue(encoder.encode(text));
          controller.close();
          return;
        }
        text += value;
      }
      controller.enqueue(encoder.encode(text));
    },
    async cancel() {
      await lines.return(undefined);
    },
  });
}
