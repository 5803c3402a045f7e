import { AudienceError, type AudiencePreviews, type AudienceStore } from "@polder/clickhouse";
import { findReferenceFaults, parseAudience, type AudienceFault, type ComputedTrait } from "@polder/core";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as v from "valibot";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import { audienceId, faultsAnswer, siteQuery } from "./audience-schemas.ts";
import { namableAudiences } from "./namable-audiences.ts";
import { limitBody, requireJson } from "./require-json.ts";

export interface PreviewRoutesOptions {
  previews: AudiencePreviews;
  store: Pick<AudienceStore, "list">;
  /** Those of a site that a definition may name. */
  computedTraits: (site: string) => Promise<ReadonlyMap<string, ComputedTrait>>;
  /** How long a preview may take. 10 s unless told. */
  timeoutMs?: number;
}

interface PreviewRoutesDeps extends PreviewRoutesOptions {
  guarded: MiddlewareHandler;
  findSite: (context: Context, id: string | undefined) => { id: string; timezone: string } | Response;
  now: () => number;
}

const sampleSize = 10;
/** Fewer people are not told of when they stay anonymous, as in a saved audience. */
const sizeFloor = 50;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const time = v.pipe(count, v.description("Milliseconds since 1970"));
const people = v.pipe(v.nullable(count), v.description("Null: fewer than the floor of anonymous audiences"));

const order = v.strictObject({
  definition: v.pipe(v.unknown(), v.description("As docs/audience.schema.json says")),
  id: v.optional(
    v.pipe(audienceId, v.description("Of the audience that it is going to be: it cannot stand on itself")),
  ),
  isAnonymous: v.optional(v.pipe(v.boolean(), v.description("Nobody is named, and small numbers are not told")), false),
});

const answer = v.object({
  site: v.string(),
  now: v.pipe(time, v.description("The moment that it was worked out for")),
  people,
  sample: v.array(
    v.object({
      person: count,
      userIds: v.array(v.string()),
      firstSeen: time,
      lastSeen: time,
      events: count,
      orders: count,
    }),
  ),
  consent: v.pipe(
    v.array(v.object({ purpose: v.string(), people })),
    v.description("How many of them may be used for which purpose now"),
  ),
});

/** What an audience would be, before it is saved. */
export function addPreviewRoutes(app: Hono, deps: PreviewRoutesDeps): void {
  const { previews, store, computedTraits, guarded, findSite, now, timeoutMs = 10_000 } = deps;

  app.post(
    "/v1/audiences/preview",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description:
        "How many people a definition holds for, some of them, and how many may be used for which purpose. Nothing is saved.",
      responses: {
        200: answers("The preview", answer),
        ...failures(401, 404, 415, 503),
        400: answers("The definition is not as it has to be: each fault with its path", faultsAnswer),
      },
    }),
    validator("query", siteQuery, refuseForm),
    validator("json", order, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const { definition: given, id, isAnonymous } = context.req.valid("json");
      const parsed = parseAudience(given);
      if (!parsed.ok) return answerFaults(context, parsed.faults);

      const [{ audiences }, traits] = await Promise.all([store.list(site.id), computedTraits(site.id)]);
      const namable = namableAudiences({ id, isAnonymous }, audiences);
      const known = { audiences: namable.audiences, computedTraits: traits };
      const faults = findReferenceFaults(parsed.definition, { ...known, anonymous: namable.anonymous }, id);
      if (faults.length > 0) return answerFaults(context, faults);

      const at = now();
      try {
        const found = await previews.preview(
          parsed.definition,
          { site: site.id, now: new Date(at), timezone: site.timezone, ...known },
          { sample: sampleSize, timeoutMs },
        );
        if (found === undefined)
          return answerError(
            context,
            "preview_too_slow",
            `The preview was stopped after ${timeoutMs / 1000} s: use shorter windows or fewer conditions, or save the audience and see its size later`,
          );
        const told = (number: number): number | null => (isAnonymous && number < sizeFloor ? null : number);
        const isSmall = told(found.people) === null;
        return context.json(
          {
            site: site.id,
            now: at,
            people: told(found.people),
            sample: isAnonymous ? [] : [...found.sample],
            consent: Object.entries(found.consent).map(([purpose, number]) => ({
              purpose,
              people: isSmall ? null : told(number),
            })),
          } satisfies v.InferOutput<typeof answer>,
          200,
          private_,
        );
      } catch (error) {
        if (error instanceof AudienceError) return answerFaults(context, error.faults);
        throw error;
      }
    },
  );
}

const answerFaults = (context: Context, faults: readonly AudienceFault[]): Response =>
  answerError(context, "audience_invalid", faults.map(({ path, message }) => `${path} ${message}`).join("\n"), {
    faults,
  });
