import * as v from "valibot";
import { choice, count, purpose, siteQuery, text, time } from "../schemas.ts";

const touch = v.object({
  channel: text,
  referrerHost: text,
  utmSource: text,
  utmMedium: text,
  utmCampaign: text,
  landingPage: text,
});

const shownEvent = v.object({
  id: v.pipe(text, v.description("Place in the log: partition:offset")),
  time,
  type: text,
  name: text,
  atom: v.pipe(count, v.description("Number of the identity that it came from")),
  sessionId: text,
  urlHost: text,
  urlPath: text,
  pageTitle: text,
  pageGroup: text,
  channel: text,
  country: text,
  device: text,
  browser: text,
  os: text,
  origin: v.pipe(text, v.description("observed, declared, partner or third_party")),
  partner: text,
  purposes: v.pipe(v.array(purpose), v.description("What this event may be used for")),
  basis: text,
  orderId: text,
  amount: v.pipe(text, v.description("Decimal")),
  currency: text,
  choices: v.array(choice),
});

const timelineEvent = v.object({ ...shownEvent.entries, properties: v.record(text, v.unknown()) });

const next = v.pipe(v.nullable(text), v.description("Send it as `before` for what came earlier; null: that was all"));

export const timelineAnswer = v.object({
  person: count,
  site: text,
  events: v.pipe(v.array(timelineEvent), v.description("Newest first")),
  next,
});
export type TimelineAnswer = v.InferOutput<typeof timelineAnswer>;

export const profile = v.object({
  person: count,
  site: text,
  firstSeen: time,
  lastSeen: time,
  identifiers: v.array(
    v.object({
      kind: v.picklist(["user_id", "anonymous_id", "email", "phone"]),
      value: v.pipe(text, v.description("email, phone: empty unless it is the one stated last")),
      hash: v.pipe(text, v.description("email, phone: what people are compared by, SHA-256 in hex; else empty")),
      firstSeen: time,
      verification: v.object({
        isConfirmed: v.pipe(
          v.boolean(),
          v.description("false: typed into a form, and no login and no server says the same"),
        ),
        rule: v.pipe(
          text,
          v.description(
            "login, server, import or form; site: a user id, which only the site states; device: its own cookie",
          ),
        ),
        time: v.pipe(time, v.description("Since when")),
      }),
    }),
  ),
  traits: v.array(
    v.object({
      name: text,
      value: text,
      origin: v.pipe(text, v.description("observed, declared, partner or third_party")),
      party: v.pipe(
        v.picklist(["zero", "first", "second", "third"]),
        v.description(
          "Whose word it is: zero, the person's own; first, seen by the site; second, a partner's; third, anybody else's",
        ),
      ),
      class: v.pipe(text, v.description("identity, descriptive, behavioural or qualitative")),
      purpose,
      isPersonal: v.boolean(),
      time,
    }),
  ),
  computedTraits: v.pipe(
    v.array(
      v.object({
        name: text,
        version: v.pipe(count, v.description("Of its definition")),
        type: v.picklist(["number", "text", "list"]),
        value: v.pipe(v.union([text, v.array(text)]), v.description("A number is decimal text")),
      }),
    ),
    v.description("Worked out of all stored events at this moment; those without a value are left out"),
  ),
  counters: v.object({ events: count, pageViews: count, clicks: count, sessions: count, orders: count }),
  revenue: v.array(v.object({ currency: text, amount: v.pipe(text, v.description("Decimal")) })),
  firstTouch: touch,
  lastTouch: touch,
  devices: v.array(v.object({ device: text, browser: text, os: text, country: text, events: count, lastSeen: time })),
  sessions: v.array(
    v.object({
      id: text,
      start: time,
      end: time,
      events: count,
      pageViews: count,
      entryPath: text,
      exitPath: text,
      channel: text,
    }),
  ),
  purposes: v.pipe(
    v.array(
      v.object({
        purpose,
        isAllowed: v.boolean(),
        why: v.pipe(text, v.description("What decided it, as docs/consent.md has it")),
        device: v.pipe(v.nullable(text), v.description("Where it was decided; null when nowhere")),
        time: v.nullable(time),
      }),
    ),
    v.description(
      "What may be done with this person now: choices on all devices, their age, flags and legal bases considered",
    ),
  ),
  consent: v.pipe(
    v.array(v.object({ time, consentId: text, regime: text, notice: text, choices: v.array(choice) })),
    v.description("Recorded choices, newest first"),
  ),
  audiences: v.pipe(
    v.array(v.object({ audience: text, name: text, since: time })),
    v.description("Those that name their members"),
  ),
  timeline: v.pipe(v.array(shownEvent), v.description("The newest events")),
  next,
});
export type ProfileAnswer = v.InferOutput<typeof profile>;

export const personParameter = v.object({
  id: v.pipe(
    v.string(),
    v.minLength(1),
    v.maxLength(200),
    v.description("User id, anonymous id, number of a person or hash of an e-mail address"),
  ),
});
const by = v.pipe(
  v.optional(v.picklist(["any", "user", "anonymous", "person", "email_hash"]), "any"),
  v.description(
    "What the id is. email_hash: SHA-256 in hex of the address in small letters, without space around it. any: a user id if there is one, else an anonymous id, else a person's number or such a hash",
  ),
);
export const personQuery = v.object({
  site: siteQuery.entries.site,
  by,
});

const eventText = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
export const timelineQuery = v.object({
  site: siteQuery.entries.site,
  by,
  before: v.pipe(
    v.optional(
      v.pipe(
        v.string(),
        v.regex(/^\d{1,15}-\d{1,5}-\d{1,15}$/, "before: send what `next` of the page before said, as it was"),
      ),
    ),
    v.description("Goes on from a page: its `next`"),
  ),
  limit: v.pipe(
    v.optional(v.pipe(v.string(), v.regex(/^\d{1,4}$/), v.transform(Number), v.minValue(1), v.maxValue(500)), "50"),
    v.description("Events of a page: 1 to 500"),
  ),
  type: v.pipe(v.optional(eventText), v.description("Only events of this type")),
  name: v.pipe(v.optional(eventText), v.description("Only events of this name")),
});
