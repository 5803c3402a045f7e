import {
  isComputedTraitTooLarge,
  type AudienceStore,
  type ComputedTraitStore,
  type StoredComputedTrait,
} from "@polder/clickhouse";
import { computedTraitsIn, computedTraitType, parseComputedTrait } from "@polder/core";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import { limitBody, requireJson } from "../audiences/require-json.ts";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import { siteQuery } from "../schemas.ts";
import * as schemas from "./trait-schemas.ts";

export interface TraitRoutesOptions {
  store: ComputedTraitStore;
}

export interface TraitRoutesDeps extends TraitRoutesOptions {
  /** Those that may stand on a trait; none without it. */
  audiences: Pick<AudienceStore, "list"> | undefined;
  guarded: MiddlewareHandler;
  findSite: (context: Context, id: string | undefined) => { id: string } | Response;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** A profile works all of them out. */
const maxTraits = 50;

export function addTraitRoutes(app: Hono, { store, audiences, guarded, findSite, now }: TraitRoutesDeps): void {
  const usersOf = async (site: string, name: string): Promise<string[]> =>
    ((await audiences?.list(site))?.audiences ?? [])
      .filter(({ state, definition }) => state !== "archived" && computedTraitsIn(definition).includes(name))
      .map(({ audience }) => audience);

  app.get(
    "/v1/traits",
    guarded,
    describeRoute({
      description: "The computed traits of the site, as they are defined now.",
      responses: { 200: answers("The computed traits", schemas.traitList), ...failures(400, 401, 404, 503) },
    }),
    validator("query", siteQuery, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const traits = await store.list(site.id);
      return context.json({ site: site.id, traits: traits.flatMap(toAnswers) }, 200, private_);
    },
  );

  app.get(
    "/v1/traits/:name",
    guarded,
    describeRoute({
      description: "One computed trait, and every version of it.",
      responses: { 200: answers("The computed trait", schemas.traitHistory), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.traitParameter, refuseForm),
    validator("query", siteQuery, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const versions = await store.versions(site.id, context.req.valid("param").name);
      const last = versions.at(-1);
      if (last === undefined) return answerError(context, "trait_not_found");
      const answer: schemas.TraitHistory = {
        site: site.id,
        name: last.name,
        versions: versions
          .map(({ version, definition, at, actor, reason }) => ({
            version,
            definition: definition ?? null,
            at,
            actor,
            reason,
          }))
          .toReversed(),
      };
      return context.json(answer, 200, private_);
    },
  );

  app.put(
    "/v1/traits/:name",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description:
        "Defines a computed trait, or changes it. Values follow from all stored events at once: there is nothing to wait for.",
      responses: {
        200: answers("The computed trait", schemas.traitAnswer),
        ...failures(401, 404, 409, 415, 503),
        400: answers("The definition is not as it has to be: each fault with its path", schemas.traitFaults),
      },
    }),
    validator("param", schemas.traitParameter, refuseForm),
    validator("query", siteQuery, refuseForm),
    validator("json", schemas.newTrait, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const { definition, actor, reason } = context.req.valid("json");
      const { name } = context.req.valid("param");
      const parsed = parseComputedTrait(definition);
      if (!parsed.ok) {
        const [first] = parsed.faults;
        return answerError(context, "trait_invalid", first && `definition.${first.path} ${first.message}`, {
          faults: parsed.faults,
        });
      }
      if (isComputedTraitTooLarge(parsed.definition)) {
        const message = "is too large to be asked for: use fewer filters, or fewer comparisons in them.";
        return answerError(context, "trait_invalid", `definition.where ${message}`, {
          faults: [{ path: "where", message }],
        });
      }
      const [versions, all] = await Promise.all([store.versions(site.id, name), store.list(site.id)]);
      if (all.length >= maxTraits && !all.some((each) => each.name === name))
        return answerError(
          context,
          "invalid_request",
          `A site has at most ${maxTraits} computed traits: remove one first`,
        );
      const trait: StoredComputedTrait = {
        site: site.id,
        name,
        version: (versions.at(-1)?.version ?? 0) + 1,
        definition: parsed.definition,
        at: now(),
        actor,
        reason,
      };
      if (!(await store.save(trait))) return answerError(context, "trait_changed");
      return context.json(toAnswers(trait)[0], 200, private_);
    },
  );

  app.delete(
    "/v1/traits/:name",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description: "Removes a computed trait. What it was stays on record, and it can be defined again.",
      responses: { 204: { description: "It is removed" }, ...failures(400, 401, 404, 409, 415, 503) },
    }),
    validator("param", schemas.traitParameter, refuseForm),
    validator("query", siteQuery, refuseForm),
    validator("json", schemas.decidedBy, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const { name } = context.req.valid("param");
      const last = (await store.versions(site.id, name)).at(-1);
      if (last?.definition === undefined) return answerError(context, "trait_not_found");
      const answerInUse = (users: readonly string[]): Response =>
        answerError(context, "trait_in_use", `The audiences ${users.join(", ")} stand on it: change these first`);
      const users = await usersOf(site.id, name);
      if (users.length > 0) return answerInUse(users);
      const { actor, reason } = context.req.valid("json");
      const removal = { ...last, version: last.version + 1, definition: undefined, at: now(), actor, reason };
      if (!(await store.save(removal))) return answerError(context, "trait_changed");
      // An audience that was made at the same moment found it still there: the removal is taken back.
      const since = await usersOf(site.id, name);
      if (since.length === 0) return context.body(null, 204);
      const why = "taken back: an audience stands on it since the same moment";
      await store.save({ ...last, version: removal.version + 1, at: now(), actor, reason: why });
      return answerInUse(since);
    },
  );
}

const toAnswers = ({ name, version, definition, at, actor, reason }: StoredComputedTrait): schemas.TraitAnswer[] =>
  definition === undefined
    ? []
    : [{ name, version, type: computedTraitType(definition), definition, at, actor, reason }];
