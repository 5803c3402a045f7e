import type { ReadQueries } from "@polder/clickhouse";
import {
  ruleOfEdge,
  type EdgeOutcome,
  type ExplainedEdge,
  type Explanation,
  type IdentityDecision,
  type IdentityDesk,
} from "@polder/core";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import type * as v from "valibot";
import { limitBody, requireJson } from "../audiences/require-json.ts";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import { siteQuery } from "../schemas.ts";
import type { IdKind } from "../schemas.ts";
import { createDecidedAnswer, type DecidedAnswerOptions } from "./answer-decided.ts";
import * as schemas from "./identity-schemas.ts";

export interface IdentityRoutesOptions extends DecidedAnswerOptions {
  desk: IdentityDesk;
}

export interface IdentityRoutesDeps extends IdentityRoutesOptions {
  queries: Pick<ReadQueries, "findPerson">;
  guarded: MiddlewareHandler;
  findSite: (context: Context, id: string | undefined) => { id: string } | Response;
}

/** Of edges, of identities and of decisions about one person. */
const maxShown = 1_000;

/** Why somebody is one person, and what people decide about it. */
export function addIdentityRoutes(app: Hono, options: IdentityRoutesDeps): void {
  const { desk, queries, guarded, findSite } = options;

  async function findPerson(site: string, id: string, by: IdKind): Promise<number | undefined> {
    if (by === "any") return queries.findPerson(site, { by: "id", value: id });
    if (by !== "person") return queries.findPerson(site, { by, value: id });
    const isNumber = /^[1-9]\d{0,9}$/.test(id) && Number(id) < 2 ** 32;
    return isNumber ? queries.findPerson(site, { by, value: Number(id) }) : undefined;
  }

  const answerDecided = createDecidedAnswer(options);
  const written = {
    200: answers("Written down, and every count follows it", schemas.decidedAnswer),
    202: answers("Written down; the worker follows it within seconds", schemas.decidedAnswer),
    ...failures(400, 401, 404, 409, 415, 503),
  };

  app.get(
    "/v1/people/:id/why",
    guarded,
    describeRoute({
      description:
        "What makes these ids one person: every edge with its event, its rule, and whether it joins or why it does not. Worked out when it is asked for.",
      responses: { 200: answers("The edges", schemas.whyAnswer), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.personParameter, refuseForm),
    validator("query", schemas.personQuery, refuseForm),
    async (context) => {
      const { site: siteId, by } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const person = await findPerson(site.id, context.req.valid("param").id, by);
      const found = person === undefined ? undefined : await desk.why(site.id, person);
      if (found === undefined) return answerError(context, "person_not_found");
      return context.json(toWhyAnswer(site.id, found), 200, private_);
    },
  );

  app.post(
    "/v1/people/:id/merge",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description: "Makes two people one, whatever events say. Undone by unmerge, or by undoing the decision.",
      responses: written,
    }),
    validator("param", schemas.personParameter, refuseForm),
    validator("query", schemas.personQuery, refuseForm),
    validator("json", schemas.mergeBody, refuseForm),
    async (context) => {
      const { site: siteId, by } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const { person: right, ...signed } = context.req.valid("json");
      const { id } = context.req.valid("param");
      const left = await findPerson(site.id, id, by);
      if (left === undefined) return answerError(context, "person_not_found");
      return answerDecided(context, await desk.merge(site.id, { left, right, named: namesOf(id, by) }, signed));
    },
  );

  app.post(
    "/v1/people/:id/unmerge",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description:
        "Takes a part out of a person: a number that was merged into it, or some of its ids. Both have their counters, traits, audiences and consent back. Merges by hand between the two are taken back first; where events tie them too, their edges no longer hold.",
      responses: written,
    }),
    validator("param", schemas.personParameter, refuseForm),
    validator("query", schemas.personQuery, refuseForm),
    validator("json", schemas.unmergeBody, refuseForm),
    async (context) => {
      const { site: siteId, by } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const { person: other, userIds: users = [], anonymousIds: devices = [], ...signed } = context.req.valid("json");
      const isNamed = users.length + devices.length > 0;
      if ((other === undefined) !== isNamed)
        return answerError(context, "invalid_request", "Send either person, or userIds and anonymousIds");
      const person = await findPerson(site.id, context.req.valid("param").id, by);
      if (person === undefined) return answerError(context, "person_not_found");
      const apart = other === undefined ? { users, devices } : { person: other };
      return answerDecided(context, await desk.unmerge(site.id, person, apart, signed));
    },
  );

  app.get(
    "/v1/identity/decisions",
    guarded,
    describeRoute({
      description: "What was decided about who is one person: who, when and why. The newest first, a page at a time.",
      responses: { 200: answers("A page of decisions", schemas.decisionsAnswer), ...failures(400, 401, 404, 503) },
    }),
    validator("query", schemas.decisionsQuery, refuseForm),
    async (context) => {
      const { site: siteId, limit, before } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const all = await desk.decisions(site.id);
      // Whether one is in force depends on all that came later, so all are read; there are as many as people decided.
      const end = before === undefined ? all.length : all.findIndex(({ id }) => id === before);
      if (end < 0) return answerError(context, "decision_not_found");
      const page = all.slice(Math.max(0, end - limit), end).toReversed();
      const next = end > limit ? page.at(-1)!.id : null;
      return context.json({ site: site.id, decisions: page.map(toDecision), next }, 200, private_);
    },
  );

  app.post(
    "/v1/identity/decisions/:id/undo",
    guarded,
    requireJson,
    limitBody,
    describeRoute({ description: "Takes a decision back, as if it had never been made.", responses: written }),
    validator("param", schemas.decisionParameter, refuseForm),
    validator("query", siteQuery, refuseForm),
    validator("json", schemas.signature, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const { id } = context.req.valid("param");
      return answerDecided(context, await desk.undo(site.id, id, context.req.valid("json")));
    },
  );
}

/** What an id may stand for, as decisions name it. */
function namesOf(id: string, by: IdKind): string[] {
  const names = { user: [`user:${id}`], anonymous: [`device:${id}`], person: [id] };
  return by === "any" ? [...names.user, ...names.anonymous] : names[by];
}

const reasons: { readonly [outcome in EdgeOutcome]: string } = {
  followed: "it joins",
  revoked: "somebody decided that it does not hold",
  blocked: "one of the values stands for nobody, as null or test@…",
  over_limit: "more ids state this value within the time of its limit than one person has",
  unconfirmed: "typed into a form: neither a login nor a server has said it in the same browser",
  shared_device: "two known people log in on this device, so what it does without a login is of neither",
  other_account: "the device belongs to another known person by something stronger",
  conflict: "followed, it would make two known people one, or give one two values of which a person has one",
  not_a_rule: "the site does not join people by it",
  nothing_to_join: "nobody has been seen with the other id yet",
};

const toDecision = (decision: IdentityDecision & { isInForce: boolean }) => {
  const { id, at, action, left, right, edges, undoes, actor, reason, isInForce } = decision;
  const revoked = edges.map((edge) => ({ ...edge }));
  return { id, at, action, left, right, edges: revoked, undoes, actor, reason, isInForce };
};

function toWhyAnswer(site: string, found: Explanation): v.InferInput<typeof schemas.whyAnswer> {
  const isJoined = ({ outcome }: ExplainedEdge): number => (outcome === "followed" ? 0 : 1);
  const edges = found.edges.toSorted(
    (a, b) => isJoined(a) - isJoined(b) || (a.edge?.time ?? 0) - (b.edge?.time ?? 0) || (a.left < b.left ? -1 : 1),
  );
  return {
    site,
    person: found.person,
    isQuarantined: found.isQuarantined,
    identities: found.atoms.slice(0, maxShown).map((atom) => ({ ...atom })),
    identitiesInAll: found.atoms.length,
    edges: edges.slice(0, maxShown).map(({ kind, left, right, outcome, edge, decision, messageId }) => ({
      kind,
      left,
      right,
      outcome,
      reason: reasons[outcome],
      rule: ruleOfEdge({ kind, left, ...(edge && { edge }) }),
      time: edge?.time ?? decision?.at ?? null,
      messageId: messageId ?? null,
      decision: decision?.id ?? null,
    })),
    edgesInAll: edges.length,
    decisions: found.decisions.slice(-maxShown).map(toDecision),
  };
}
