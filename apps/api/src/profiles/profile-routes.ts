import type { PersonId, Profile, ReadQueries, TimelineEvent, TimelinePlace } from "@polder/clickhouse";
import { purposesOf } from "@polder/protocol";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import * as schemas from "./profile-schemas.ts";

export interface ProfileRoutesOptions {
  queries: Pick<ReadQueries, "profile" | "timeline">;
  guarded: MiddlewareHandler;
  /** Of the computed traits and the consent in a profile. */
  now: () => number;
  findSite: (context: Context, id: string | undefined) => { id: string } | Response;
}

const limits = { timeline: 50, sessions: 20, devices: 20, choices: 50 };

export function addProfileRoutes(app: Hono, { queries, guarded, findSite, now }: ProfileRoutesOptions): void {
  app.get(
    "/v1/people/:id",
    guarded,
    describeRoute({
      description:
        "Everything about one person: identifiers with how each was confirmed, traits with their origin, counters, touches, devices, visits, consent, audiences and what happened last.",
      responses: { 200: answers("The person", schemas.profile), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.personParameter, refuseForm),
    validator("query", schemas.personQuery, refuseForm),
    async (context) => {
      const { site: siteId, by } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const id = personIdOf(by, context.req.valid("param").id);
      if (typeof id === "string") return answerError(context, "invalid_request", id);
      const found = await queries.profile(site.id, id, { ...limits, now: new Date(now()) });
      if (found === undefined) return answerError(context, "person_not_found");
      const answer: schemas.ProfileAnswer = toProfileAnswer(found);
      return context.json(answer, 200, private_);
    },
  );

  app.get(
    "/v1/people/:id/timeline",
    guarded,
    describeRoute({
      description:
        "What one person did, newest first, a page at a time. Pages hold still: what comes in meanwhile, new or late, shifts nothing.",
      responses: { 200: answers("A page of events", schemas.timelineAnswer), ...failures(400, 401, 404, 503) },
    }),
    validator("param", schemas.personParameter, refuseForm),
    validator("query", schemas.timelineQuery, refuseForm),
    async (context) => {
      const { site: siteId, by, before, limit, type, name } = context.req.valid("query");
      const site = findSite(context, siteId);
      if (site instanceof Response) return site;
      const id = personIdOf(by, context.req.valid("param").id);
      if (typeof id === "string") return answerError(context, "invalid_request", id);
      const question = { before: before === undefined ? undefined : placeOf(before), limit, type, name };
      const found = await queries.timeline(site.id, id, question);
      if (found === undefined) return answerError(context, "person_not_found");
      const answer: schemas.TimelineAnswer = {
        person: found.person,
        site: site.id,
        events: found.events.map(toTimelineEvent),
        next: cursorOf(found.next),
      };
      return context.json(answer, 200, private_);
    },
  );
}

type By = "any" | "user" | "anonymous" | "person" | "email_hash";

/** What is wrong with it, when it is not of its form. */
function personIdOf(by: By, id: string): PersonId | string {
  if (by === "person")
    return /^[1-9]\d{0,9}$/.test(id) && Number(id) < 2 ** 32
      ? { by, value: Number(id) }
      : "The number of a person is a whole number";
  if (by === "email_hash")
    return /^[0-9a-f]{64}$/i.test(id)
      ? { by, value: id.toLowerCase() }
      : "The hash of an e-mail address is 64 hexadecimal digits: SHA-256 of the address in small letters, without space around it";
  return { by, value: id };
}

const cursorOf = (place: TimelinePlace | undefined): string | null =>
  place === undefined ? null : `${place.time}-${place.partition}-${place.offset}`;

function placeOf(cursor: string): TimelinePlace {
  const [time = 0, partition = 0, offset = 0] = cursor.split("-").map(Number);
  return { time, partition, offset };
}

const toTimelineEvent = <E extends Omit<TimelineEvent, "properties">>({
  partition,
  offset,
  consentMask,
  ...event
}: E) => ({
  id: `${partition}:${offset}`,
  ...event,
  purposes: purposesOf(consentMask),
});

/** The wire says where an event comes from; the field calls it by whose word it is. */
const parties: ReadonlyMap<string, "zero" | "first" | "second" | "third"> = new Map([
  ["declared", "zero"],
  ["observed", "first"],
  ["partner", "second"],
  ["third_party", "third"],
]);

const toProfileAnswer = ({ traits, timeline, next, purposes, ...found }: Profile): schemas.ProfileAnswer => ({
  ...found,
  traits: traits.map((trait) => ({ ...trait, party: parties.get(trait.origin) ?? "first" })),
  purposes: purposes.map(({ purpose, isAllowed, why, device, at }) => ({
    purpose,
    isAllowed,
    why,
    device: device ?? null,
    time: at ?? null,
  })),
  timeline: timeline.map(toTimelineEvent),
  next: cursorOf(next),
});
