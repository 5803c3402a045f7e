import type { Audience, AudienceExportStore, AudienceQueries, AudienceStore } from "@polder/clickhouse";
import {
  audiencesIn,
  findReferenceFaults,
  parseAudience,
  type AudienceDefinition,
  type AudienceFault,
  type ReadyMadeAudience,
} from "@polder/core";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import * as schemas from "./audience-schemas.ts";
import { addExportRoutes } from "./export-routes.ts";
import { namableAudiences } from "./namable-audiences.ts";
import { limitBody, requireJson } from "./require-json.ts";

export interface AudienceRoutesOptions {
  store: AudienceStore;
  queries: AudienceQueries;
  exports: AudienceExportStore;
  /** Those that come with Polder. */
  readyMade: readonly ReadyMadeAudience[];
  /** Names of the computed traits of a site that a definition may use. */
  computedTraits?: (site: string) => Promise<ReadonlyMap<string, unknown>>;
}

export interface AudienceRoutesDeps extends AudienceRoutesOptions {
  guarded: MiddlewareHandler;
  findSite: (context: Context, id: string | undefined) => { id: string } | Response;
  now: () => number;
}

const dayMs = 86_400_000;
const maxReason = 500;

/** Audiences: definitions, who is in them, and what became of them. */
export function addAudienceRoutes(app: Hono, deps: AudienceRoutesDeps): void {
  const { store, queries, readyMade, guarded, findSite, now } = deps;

  const toAnswer = (
    audience: Audience,
    counted: { people: number; isBelowFloor: boolean; at: number } | undefined,
  ): schemas.AudienceAnswer => ({
    id: audience.audience,
    name: audience.name,
    revision: audience.revision,
    version: audience.version,
    definition: audience.definition,
    purpose: audience.purpose,
    state: audience.state,
    isAnonymous: audience.isAnonymous,
    sizeFloor: audience.isAnonymous ? audience.sizeFloor : null,
    expiresAt: audience.expiresAt ?? null,
    everySeconds: audience.everySeconds,
    people: counted === undefined || counted.isBelowFloor ? null : counted.people,
    fewerThan: counted?.isBelowFloor === true ? audience.sizeFloor : null,
    countedAt: counted?.at ?? null,
    changedAt: audience.at,
    actor: audience.actor,
    reason: audience.reason,
  });

  /** The definition, or everything that is wrong with it. */
  const readDefinition = async (
    given: unknown,
    { site, id, isAnonymous }: { site: string; id: string; isAnonymous: boolean },
    others: readonly Audience[],
  ): Promise<{ ok: true; definition: AudienceDefinition } | { ok: false; faults: readonly AudienceFault[] }> => {
    const parsed = parseAudience(given);
    if (!parsed.ok) return parsed;
    const known = {
      ...namableAudiences({ id, isAnonymous }, others),
      computedTraits: (await deps.computedTraits?.(site)) ?? new Map(),
    };
    const faults = findReferenceFaults(parsed.definition, known, id);
    return faults.length === 0 ? parsed : { ok: false, faults };
  };

  const usersOf = (id: string, audiences: readonly Audience[]): string[] =>
    audiences
      .filter((other) => other.state !== "archived" && audiencesIn(other.definition).includes(id))
      .map(({ audience }) => audience);

  /**
   * What has just been saved was right beside what was there before. Somebody else may have saved at the same moment: then it is taken back.
   * @param before what there was; an audience that was not there is archived
   */
  const standsOrIsTakenBack = async (saved: Audience, before: Audience | undefined): Promise<string | undefined> => {
    const { site, audience: id, isAnonymous } = saved;
    const { audiences } = await store.list(site);
    let why: string | undefined;
    if (saved.state === "archived") {
      const users = usersOf(id, audiences);
      if (users.length > 0) why = `It is part of ${users.join(", ")} since this moment: change these first`;
    } else {
      const read = await readDefinition(saved.definition, { site, id, isAnonymous }, audiences);
      if (!read.ok) why = `Another change came in between: ${read.faults.map(({ message }) => message).join("; ")}`;
    }
    if (why === undefined) return undefined;
    await store.save({
      ...(before ?? { ...saved, state: "archived" }),
      revision: saved.revision + 1,
      // No number of a definition is given twice.
      version: saved.version + (before === undefined || before.version === saved.version ? 0 : 1),
      at: now(),
      actor: saved.actor,
      reason: `taken back: ${why}`.slice(0, maxReason),
    });
    return why;
  };

  /** An anonymous audience is there no longer than those that it stands on, which nobody can be told of afterwards. */
  const endOf = (end: number, definition: AudienceDefinition, audiences: readonly Audience[]): number => {
    const below = new Set(audiencesIn(definition));
    return Math.min(
      end,
      ...audiences.map(({ audience, expiresAt }) => (below.has(audience) ? (expiresAt ?? end) : end)),
    );
  };

  const answerFaults = (context: Context, faults: readonly AudienceFault[]): Response =>
    answerError(context, "audience_invalid", faults.map(({ path, message }) => `${path} ${message}`).join("\n"), {
      faults: faults.map(({ path, message }) => ({ path, message })),
    });

  const findAudience = async (context: Context, siteId: string | undefined, id: string): Promise<Found | Response> => {
    const site = findSite(context, siteId);
    if (site instanceof Response) return site;
    const audience = await store.find(site.id, id);
    return audience === undefined ? answerError(context, "audience_not_found") : { site: site.id, audience };
  };
  const findNamed = async (context: Context, siteId: string | undefined, id: string): Promise<Found | Response> => {
    const found = await findAudience(context, siteId, id);
    return !(found instanceof Response) && found.audience.isAnonymous
      ? answerError(context, "audience_anonymous")
      : found;
  };

  app.get(
    "/v1/audiences",
    guarded,
    describeRoute({
      description: "All audiences of the site, archived ones too, each as it is now.",
      responses: { 200: answers("The audiences", schemas.audienceList), ...failures(400, 401, 404, 503) },
    }),
    validator("query", schemas.siteQuery, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const [{ audiences, unreadable }, counted] = await Promise.all([store.list(site.id), queries.peopleOf(site.id)]);
      return context.json(
        {
          site: site.id,
          audiences: audiences.map((audience) => toAnswer(audience, counted.get(audience.audience))),
          unreadable: unreadable.map(({ audience, fault }) => ({ id: audience, fault })),
        },
        200,
        private_,
      );
    },
  );

  app.post(
    "/v1/audiences",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description: "A new audience. It is worked out within a minute.",
      responses: {
        201: answers("The audience", schemas.audienceAnswer),
        ...failures(401, 404, 409, 503),
        400: answers("The definition is not as it has to be: each fault with its path", schemas.faultsAnswer),
      },
    }),
    validator("query", schemas.siteQuery, refuseForm),
    validator("json", schemas.newAudience, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const given = context.req.valid("json");
      const { audiences, unreadable } = await store.list(site.id);
      if ([...audiences, ...unreadable].some(({ audience }) => audience === given.id))
        return answerError(context, "audience_exists");
      const read = await readDefinition(given.definition, { ...given, site: site.id }, audiences);
      if (!read.ok) return answerFaults(context, read.faults);
      const at = now();
      const audience: Audience = {
        site: site.id,
        audience: given.id,
        revision: 1,
        version: 1,
        name: given.name,
        definition: read.definition,
        isAnonymous: given.isAnonymous,
        purpose: given.purpose,
        state: "active",
        everySeconds: given.everySeconds,
        sizeFloor: given.sizeFloor,
        expiresAt: given.isAnonymous ? endOf(at + given.livesDays * dayMs, read.definition, audiences) : undefined,
        at,
        actor: given.actor,
        reason: given.reason,
      };
      if (!(await store.save(audience))) return answerError(context, "audience_exists");
      const why = await standsOrIsTakenBack(audience, undefined);
      if (why !== undefined) return answerError(context, "audience_changed", `${why}. It is there, archived`);
      return context.json(toAnswer(audience, undefined), 201, private_);
    },
  );

  app.get(
    "/v1/audiences/ready-made",
    guarded,
    describeRoute({
      description: "Audiences that come with Polder, and whether the site has them.",
      responses: { 200: answers("The audiences", schemas.readyMadeList), ...failures(400, 401, 404, 503) },
    }),
    validator("query", schemas.siteQuery, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const { audiences } = await store.list(site.id);
      const on = new Set(audiences.filter(({ state }) => state !== "archived").map(({ audience }) => audience));
      return context.json(
        {
          audiences: readyMade.map(({ id, name, definition }) => ({
            id,
            name,
            definition,
            purpose: "profile" as const,
            isOn: on.has(id),
          })),
        },
        200,
        private_,
      );
    },
  );

  app.post(
    "/v1/audiences/ready-made",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description:
        "Switches on audiences that come with Polder: those named, or all. One that is there stays as it is.",
      responses: { 200: answers("Which were added", schemas.readyMadeAnswer), ...failures(400, 401, 404, 503) },
    }),
    validator("query", schemas.siteQuery, refuseForm),
    validator("json", schemas.readyMadeOrder, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const { audiences: wanted, actor, reason } = context.req.valid("json");
      const unknown = wanted?.find((id) => !readyMade.some((each) => each.id === id));
      if (unknown !== undefined)
        return answerError(
          context,
          "invalid_request",
          `${unknown} is none of the ready-made: GET /v1/audiences/ready-made`,
        );
      const chosen = readyMade.filter(({ id }) => wanted?.includes(id) ?? true);
      const result = await switchOnAudiences(store, site.id, { chosen, actor, reason, at: now() });
      return context.json({ site: site.id, ...result }, 200, private_);
    },
  );

  app.post(
    "/v1/audiences/overlap",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description: "How many people two to twenty audiences have in common, pair by pair.",
      responses: { 200: answers("Counts and shares", schemas.overlapAnswer), ...failures(400, 401, 404, 409, 503) },
    }),
    validator("query", schemas.siteQuery, refuseForm),
    validator("json", schemas.overlapOrder, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const ids = [...new Set(context.req.valid("json").audiences)];
      const known = new Map((await store.list(site.id)).audiences.map((audience) => [audience.audience, audience]));
      const missing = ids.find((id) => !known.has(id));
      if (missing !== undefined) return answerError(context, "audience_not_found", `There is no audience ${missing}`);
      if (ids.some((id) => known.get(id)!.isAnonymous)) return answerError(context, "audience_anonymous");
      const pairs = new Map((await queries.overlap(site.id, ids)).map(({ a, b, people }) => [`${a} ${b}`, people]));
      const counts = ids.map((a) => ids.map((b) => pairs.get(`${a} ${b}`) ?? 0));
      const shares = counts.map((row, index) => row.map((people) => (row[index] === 0 ? 0 : people / row[index]!)));
      return context.json({ site: site.id, audiences: ids, counts, shares }, 200, private_);
    },
  );

  app.get(
    "/v1/audiences/:id",
    guarded,
    describeRoute({
      description: "One audience as it is now.",
      responses: { 200: answers("The audience", schemas.audienceAnswer), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.idParameter, refuseForm),
    validator("query", schemas.siteQuery, refuseForm),
    async (context) => {
      const { id } = context.req.valid("param");
      const found = await findAudience(context, context.req.valid("query").site, id);
      if (found instanceof Response) return found;
      return context.json(toAnswer(found.audience, (await queries.peopleOf(found.site)).get(id)), 200, private_);
    },
  );

  app.put(
    "/v1/audiences/:id",
    guarded,
    requireJson,
    limitBody,
    describeRoute({
      description:
        "Changes an audience: what is not given stays. Another definition is a new version; those before are kept. Archived, nobody is in it.",
      responses: {
        200: answers("The audience", schemas.audienceAnswer),
        ...failures(401, 404, 409, 503),
        400: answers("The definition is not as it has to be: each fault with its path", schemas.faultsAnswer),
      },
    }),
    validator("param", schemas.idParameter, refuseForm),
    validator("query", schemas.siteQuery, refuseForm),
    validator("json", schemas.audienceChange, refuseForm),
    async (context) => {
      const { id } = context.req.valid("param");
      const given = context.req.valid("json");
      const found = await findAudience(context, context.req.valid("query").site, id);
      if (found instanceof Response) return found;
      const { site, audience: before } = found;
      if (given.revision !== undefined && given.revision !== before.revision)
        return answerError(
          context,
          "audience_changed",
          `Its revision is ${before.revision} by now, not ${given.revision}`,
        );
      const { audiences } = await store.list(site);
      const itself = { site, id, isAnonymous: before.isAnonymous };
      let { definition, version } = before;
      if ("definition" in given) {
        const read = await readDefinition(given.definition, itself, audiences);
        if (!read.ok) return answerFaults(context, read.faults);
        if (JSON.stringify(read.definition) !== JSON.stringify(definition)) version += 1;
        definition = read.definition;
      }
      const state = given.state ?? before.state;
      if (state === "archived") {
        const users = usersOf(id, audiences);
        if (users.length > 0)
          return answerError(context, "audience_in_use", `It is part of ${users.join(", ")}: change these first`);
      } else if (before.state === "archived") {
        // What it stands on may have gone meanwhile; and an anonymous one has had its time.
        if (before.isAnonymous) return answerError(context, "audience_anonymous", "Its time is over: make another one");
        const read = await readDefinition(definition, itself, audiences);
        if (!read.ok) return answerFaults(context, read.faults);
      }
      const audience: Audience = {
        ...before,
        revision: before.revision + 1,
        version,
        definition,
        state,
        name: given.name ?? before.name,
        purpose: given.purpose ?? before.purpose,
        everySeconds: given.everySeconds ?? before.everySeconds,
        expiresAt: before.expiresAt && endOf(before.expiresAt, definition, audiences),
        at: now(),
        actor: given.actor,
        reason: given.reason,
      };
      if (!(await store.save(audience))) return answerError(context, "audience_changed");
      // Whatever else was changed, what it stands on and what stands on it are as before.
      if ("definition" in given || state !== before.state) {
        const why = await standsOrIsTakenBack(audience, before);
        if (why !== undefined)
          return answerError(context, state === "archived" ? "audience_in_use" : "audience_changed", why);
      }
      return context.json(toAnswer(audience, (await queries.peopleOf(site)).get(id)), 200, private_);
    },
  );

  app.get(
    "/v1/audiences/:id/revisions",
    guarded,
    describeRoute({
      description: "What was changed of an audience, by whom and why.",
      responses: { 200: answers("The revisions", schemas.audienceRevisions), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.idParameter, refuseForm),
    validator("query", schemas.siteQuery, refuseForm),
    async (context) => {
      const { id } = context.req.valid("param");
      const found = await findAudience(context, context.req.valid("query").site, id);
      if (found instanceof Response) return found;
      const revisions = (await store.revisions(found.site, id))
        .toReversed()
        .map(({ revision, version, name, definition, purpose, state, at, actor, reason }) => ({
          revision,
          version,
          name,
          definition,
          purpose,
          state,
          at,
          actor,
          reason,
        }));
      return context.json({ site: found.site, id, revisions }, 200, private_);
    },
  );

  app.get(
    "/v1/audiences/:id/members",
    guarded,
    describeRoute({
      description: "Who is in it, page by page in the order of their numbers.",
      responses: { 200: answers("The members", schemas.audienceMembers), ...failures(400, 401, 404, 409, 503) },
    }),
    validator("param", schemas.idParameter, refuseForm),
    validator("query", schemas.membersQuery, refuseForm),
    async (context) => {
      const { id } = context.req.valid("param");
      const { site, after, limit } = context.req.valid("query");
      const found = await findNamed(context, site, id);
      if (found instanceof Response) return found;
      const members = await queries.members(found.site, id, after, limit);
      const next = members.length === limit ? members.at(-1)!.person : null;
      return context.json({ site: found.site, id, members, next }, 200, private_);
    },
  );

  app.get(
    "/v1/audiences/:id/log",
    guarded,
    describeRoute({
      description: "Who came and left, when and why, newest first; of everybody or of one person.",
      responses: { 200: answers("The changes", schemas.audienceLog), ...failures(400, 401, 404, 409, 503) },
    }),
    validator("param", schemas.idParameter, refuseForm),
    validator("query", schemas.logQuery, refuseForm),
    async (context) => {
      const { id } = context.req.valid("param");
      const { site, before, person, limit } = context.req.valid("query");
      const found = await findNamed(context, site, id);
      if (found instanceof Response) return found;
      const rows = await queries.log(found.site, id, { before, person, limit });
      const next = rows.length === limit ? rows.at(-1)!.seq : null;
      const changes = rows.map(({ seq, person: who, change, reason, survivor, at, version }) => ({
        seq,
        person: who,
        change,
        reason,
        survivor: survivor === 0 ? null : survivor,
        at,
        version,
      }));
      return context.json({ site: found.site, id, changes, next }, 200, private_);
    },
  );

  app.get(
    "/v1/audiences/:id/sizes",
    guarded,
    describeRoute({
      description:
        "Its size over time: as it was seen at the end of each hour in which it changed, and on request the same people as known now.",
      responses: { 200: answers("The sizes", schemas.audienceSizes), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.idParameter, refuseForm),
    validator("query", schemas.sizesQuery, refuseForm),
    async (context) => {
      const { id } = context.req.valid("param");
      const { site, from, to, restated } = context.req.valid("query");
      const found = await findAudience(context, site, id);
      if (found instanceof Response) return found;
      const end = to ?? now() + dayMs;
      const sizes = await queries.sizes(found.site, id, {
        from: from ?? end - defaultSpanDays * dayMs,
        to: end,
        isRestated: restated === "true",
      });
      return context.json(
        {
          site: found.site,
          id,
          sizes: sizes.map(({ at, version, people, restated: now_, isBelowFloor }) => ({
            at,
            version,
            people: isBelowFloor ? null : people,
            restated: isBelowFloor ? null : (now_ ?? null),
          })),
        },
        200,
        private_,
      );
    },
  );

  addExportRoutes(app, { ...deps, findNamed, workedOut: (site) => queries.peopleOf(site) });
}

const defaultSpanDays = 90;

export interface Found {
  site: string;
  audience: Audience;
}

/** Adds those that are not there, or are archived. */
export async function switchOnAudiences(
  store: AudienceStore,
  site: string,
  { chosen, actor, reason, at }: { chosen: readonly ReadyMadeAudience[]; actor: string; reason: string; at: number },
): Promise<{ added: string[]; there: string[] }> {
  const known = new Map((await store.list(site)).audiences.map((audience) => [audience.audience, audience]));
  const added: string[] = [];
  const there: string[] = [];
  for (const { id, name, definition } of chosen) {
    const before = known.get(id);
    if (before !== undefined && before.state !== "archived") {
      there.push(id);
      continue;
    }
    const isSaved = await store.save({
      site,
      audience: id,
      revision: (before?.revision ?? 0) + 1,
      version: (before?.version ?? 0) + 1,
      name,
      definition,
      isAnonymous: false,
      purpose: "profile",
      state: "active",
      everySeconds: 10,
      sizeFloor: 50,
      expiresAt: undefined,
      at,
      actor,
      reason,
    });
    (isSaved ? added : there).push(id);
  }
  return { added, there };
}
