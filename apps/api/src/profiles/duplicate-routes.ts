import { duplicateSigns, type DuplicateQueries } from "@polder/clickhouse";
import type { IdentityDesk } from "@polder/core";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as v from "valibot";
import { limitBody, requireJson } from "../audiences/require-json.ts";
import { createDecidedAnswer, type DecidedAnswerOptions } from "../people/answer-decided.ts";
import { decidedAnswer } from "../people/identity-schemas.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import { count, siteQuery, text } from "../schemas.ts";
import { decidedBy } from "./trait-schemas.ts";

export interface DuplicateRoutesDeps extends DecidedAnswerOptions {
  queries: DuplicateQueries;
  desk: Pick<IdentityDesk, "merge" | "dismiss" | "isSettled">;
  guarded: MiddlewareHandler;
  findSite: (context: Context, id: string | undefined) => { id: string } | Response;
}

const person = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(1),
  v.maxValue(2 ** 32 - 1),
  v.description("Number of a person"),
);

export const duplicatesAnswer = v.object({
  site: text,
  duplicates: v.array(
    v.object({
      left: person,
      right: person,
      score: v.pipe(count, v.description("0 to 100: how sure, all signs together")),
      signs: v.array(v.object({ sign: text, about: text })),
    }),
  ),
  next: v.pipe(v.nullable(text), v.description("Send it as `after` for those that are less sure; null: that was all")),
});
type DuplicatesAnswer = v.InferOutput<typeof duplicatesAnswer>;

const whole = (least: number, most: number) =>
  v.pipe(v.string(), v.regex(/^\d{1,4}$/), v.transform(Number), v.minValue(least), v.maxValue(most));
const duplicatesQuery = v.object({
  site: siteQuery.entries.site,
  minScore: v.pipe(v.optional(whole(0, 100), "50"), v.description("At least this score")),
  limit: v.pipe(v.optional(whole(1, 500), "50"), v.description("Pairs of a page: 1 to 500")),
  after: v.pipe(
    v.optional(
      v.pipe(
        v.string(),
        v.regex(/^\d{1,3}-\d{1,10}-\d{1,10}$/, "after: send what `next` of the page before said, as it was"),
      ),
    ),
    v.description("Goes on from a page: its `next`"),
  ),
});

const pair = v.strictObject(
  { left: person, right: person, ...decidedBy.entries },
  "Send an object with left, right, actor and reason",
);
const decisionAnswer = v.object({
  decision: v.pipe(text, v.description("Of the decision, by which it can be undone")),
});

/** People who look like one person: suggestions only. */
export function addDuplicateRoutes(app: Hono, options: DuplicateRoutesDeps): void {
  const { queries, desk, guarded, findSite } = options;
  const answerDecided = createDecidedAnswer(options);
  app.get(
    "/v1/duplicates",
    guarded,
    describeRoute({
      description:
        "Pairs of people who look like one person, the surest first. Nothing is joined by being on this list.",
      responses: { 200: answers("A page of pairs", duplicatesAnswer), ...failures(400, 401, 404, 503) },
    }),
    validator("query", duplicatesQuery, refuseForm),
    async (context) => {
      const { site: siteId, minScore, limit, after } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const [score = 0, left = 0, right = 0] = (after ?? "").split("-").map(Number);
      const found = await queries.duplicates(site.id, {
        minScore,
        limit,
        ...(after !== undefined && { after: { score, left, right } }),
      });
      const last = found.length < limit ? undefined : found.at(-1);
      const answer: DuplicatesAnswer = {
        site: site.id,
        duplicates: found.map(({ signs, ...duplicate }) => ({
          ...duplicate,
          signs: signs.map((sign) => ({ sign, about: duplicateSigns[sign].about })),
        })),
        next: last === undefined ? null : `${last.score}-${last.left}-${last.right}`,
      };
      return context.json(answer, 200, private_);
    },
  );

  const decisions = [
    {
      path: "accept",
      action: "merge",
      description: "They are one person, whatever events say, as after a merge. The decision can be undone.",
      responses: {
        200: answers("Written down, and every count follows it", decidedAnswer),
        202: answers("Written down; the worker follows it within seconds", decidedAnswer),
      },
    },
    {
      path: "dismiss",
      action: "dismiss",
      description: "They are two people: the pair is not suggested again. Said twice it is the same decision.",
      responses: { 201: answers("The decision", decisionAnswer) },
    },
  ] as const;
  for (const { path, action, description, responses } of decisions)
    app.post(
      `/v1/duplicates/${path}`,
      guarded,
      requireJson,
      limitBody,
      describeRoute({
        description,
        responses: { ...responses, ...failures(400, 401, 404, 409, 415, 503) },
      }),
      validator("query", siteQuery, refuseForm),
      validator("json", pair, refuseForm),
      async (context) => {
        const site = findSite(context, context.req.valid("query").site);
        if (site instanceof Response) return site;
        const { actor, reason, ...sides } = context.req.valid("json");
        const decided = await desk[action](site.id, sides, { actor, reason });
        // No count depends on a dismissal, so there is nothing to wait for.
        if (action === "merge" || !decided.ok) return answerDecided(context, decided);
        return context.json({ decision: decided.decision.id }, 201, private_);
      },
    );
}
