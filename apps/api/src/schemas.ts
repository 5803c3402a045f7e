import * as v from "valibot";

/** The answers of this API. The same schemas validate, type and document. Times are milliseconds since 1970; empty text means none. */

export const time = v.pipe(v.number(), v.integer(), v.description("Milliseconds since 1970"));
export const count = v.pipe(v.number(), v.integer(), v.minValue(0));
export const text = v.string();
export const purpose = v.pipe(
  v.string(),
  v.description("necessary, measurement, profile, personalisation, prediction or ads"),
);

export const choice = v.object({ purpose, state: v.pipe(text, v.description("granted, denied, withdrawn, …")) });

export const liveEvent = v.object({
  id: v.pipe(text, v.description("Place in the log: partition:offset")),
  site: text,
  time,
  receivedAt: time,
  type: text,
  name: text,
  atom: v.pipe(v.nullable(count), v.description("Number of the identity that it came from; a person has one or more")),
  person: v.pipe(v.nullable(count), v.description("Null: collected without an identifier")),
  urlHost: text,
  urlPath: text,
  pageTitle: text,
  pageGroup: text,
  channel: text,
  country: text,
  device: text,
  browser: text,
  os: text,
  bot: text,
  purposes: v.pipe(v.array(purpose), v.description("What it may be used for")),
  basis: text,
  orderId: text,
  amount: text,
  currency: text,
  choices: v.array(choice),
});
export type LiveEvent = v.InferOutput<typeof liveEvent>;

/** Data of the server-sent event `events`. */
export const liveBatch = v.object({
  events: v.pipe(v.array(liveEvent), v.description("Oldest first")),
  omitted: v.pipe(count, v.description("Events that came in between and are only counted")),
  seconds: v.pipe(
    v.array(v.tuple([count, count])),
    v.description("Second of arrival since 1970, and events in it that are new"),
  ),
});
export type LiveBatch = v.InferOutput<typeof liveBatch>;

/** Data of the server-sent event `series`: what the seconds of later batches are added to. */
export const liveSeries = v.object({ seconds: v.array(v.tuple([count, count])) });
export type LiveSeries = v.InferOutput<typeof liveSeries>;

/** Data of the server-sent event `people`: whose atoms are now, after identities were joined. */
export const livePeople = v.object({
  changes: v.array(
    v.object({
      atom: v.pipe(count, v.description("Of an event that was sent before, or the number of a person there")),
      person: v.pipe(
        count,
        v.description("The person that it belongs to from now on; 0: erased, nothing of it may be shown any more"),
      ),
    }),
  ),
});
export type LivePeople = v.InferOutput<typeof livePeople>;

/** Data of the server-sent event `audiences`. */
export const liveAudiences = v.object({
  changes: v.pipe(
    v.array(
      v.object({
        seq: count,
        audience: v.pipe(text, v.description("Id of the audience")),
        person: v.pipe(v.nullable(count), v.description("Null: erased meanwhile")),
        change: v.picklist(["enter", "exit"]),
        reason: v.pipe(text, v.description("enter, exit, merged, split, consent, erased or definition")),
        at: time,
      }),
    ),
    v.description("Oldest first"),
  ),
  omitted: v.pipe(count, v.description("Changes of all sites that came in between and are only counted")),
});
export type LiveAudiences = v.InferOutput<typeof liveAudiences>;

/** Data of the server-sent event `pulse`, every second. */
export const livePulse = v.object({
  now: v.pipe(time, v.description("The server's clock")),
  newestReceivedAt: v.nullable(time),
  lagMs: v.pipe(
    v.nullable(count),
    v.description("Arrival of the oldest event that waits for the loader, ago; null when unknown"),
  ),
  isStoreReachable: v.boolean(),
});
export type LivePulse = v.InferOutput<typeof livePulse>;

const audienceValue = v.object({ value: text, people: count, events: count });

export const audiencesToday = v.object({
  site: text,
  day: v.pipe(text, v.description("In the site's own zone: 2026-11-22")),
  timezone: text,
  dimensions: v.pipe(
    v.array(v.object({ dimension: text, values: v.array(audienceValue) })),
    v.description("Unique people by value, the most first"),
  ),
});
export type AudiencesToday = v.InferOutput<typeof audiencesToday>;

export const summary = v.object({
  site: text,
  day: text,
  timezone: text,
  now: time,
  events: count,
  people: count,
  pageViews: count,
  newestReceivedAt: v.nullable(time),
  seconds: v.pipe(
    v.array(v.tuple([count, count])),
    v.description("Of the last three minutes: second since 1970, events that came in"),
  ),
  rejected: v.array(v.object({ reason: text, count })),
});
export type SummaryAnswer = v.InferOutput<typeof summary>;

export const errorAnswer = v.object({ code: text, message: text, docs: text });
export type ErrorBody = v.InferOutput<typeof errorAnswer>;

/** What the page is told by the server that serves it. */
export const pageConfig = v.object({
  sites: v.array(v.object({ id: text, name: text, timezone: text })),
  shopUrl: v.nullable(text),
  sqlUrl: v.nullable(text),
});
export type PageConfig = v.InferOutput<typeof pageConfig>;

const siteId = v.pipe(v.string(), v.minLength(1), v.maxLength(200));

const idKind = v.picklist(["any", "person", "user", "anonymous"]);
export type IdKind = v.InferOutput<typeof idKind>;
/** Of somebody with whom something is done: an unknown customer's number may be the number of somebody else here. */
export const personBy = v.pipe(
  v.optional(idKind, "any"),
  v.description(
    "What the id is. any: a user id, else an anonymous id. The number of a person only where this says person",
  ),
);

/** Of a decision about people. */
export const signed = {
  actor: v.pipe(
    v.string(),
    v.trim(),
    v.minLength(1, "Say in actor who decides"),
    v.maxLength(200),
    v.description("Who decides: a name or an office. It is kept"),
  ),
  reason: v.pipe(
    v.string(),
    v.trim(),
    v.minLength(1, "Say in reason why"),
    v.maxLength(500),
    v.description("Why. It is kept"),
  ),
};

export const siteQuery = v.object({
  site: v.pipe(v.optional(siteId), v.description("The first configured site when left out")),
});
const state = v.object({
  measurement: text,
  profile: text,
  personalisation: text,
  prediction: text,
  ads: text,
});

/** What a visitor is told of their own choices. */
export const visitorConsent = v.object({
  site: text,
  state: v.pipe(
    state,
    v.description("By purpose: granted, denied, withdrawn, opted_out, expired (a yes that is too old) or unset"),
  ),
  history: v.pipe(
    v.array(
      v.object({
        id: text,
        at: time,
        receivedAt: time,
        choices: v.array(
          v.object({
            purpose,
            state: text,
            title: v.pipe(text, v.description("As it was shown; empty when that was not stated")),
            text,
          }),
        ),
        language: text,
        variant: text,
        regime: text,
        gpc: v.boolean(),
      }),
    ),
    v.description("Newest first"),
  ),
  receipt: v.pipe(
    v.nullable(
      v.object({
        doneAt: time,
        tables: v.array(
          v.object({
            table: text,
            rows: v.pipe(count, v.description("Rows of this visitor that were there")),
            remaining: v.pipe(count, v.description("Of these, how many still said who it was")),
          }),
        ),
      }),
    ),
    v.description("Of the withdrawal that was asked for; null when there is none, or it is not done yet"),
  ),
});
export type VisitorConsent = v.InferOutput<typeof visitorConsent>;

/** Every purpose by its name, and no other key. */
const byPurpose = <S extends v.GenericSchema>(value: S) =>
  v.strictObject({
    necessary: v.exactOptional(value),
    measurement: v.exactOptional(value),
    profile: v.exactOptional(value),
    personalisation: v.exactOptional(value),
    prediction: v.exactOptional(value),
    ads: v.exactOptional(value),
  });
const shortText = v.pipe(text, v.maxLength(200));

const textHash = v.pipe(
  text,
  v.regex(/^[0-9a-f]{64}$/, "The hash of a text is 64 hexadecimal digits, in small letters"),
);

/** What a visitor chooses. */
export const visitorChoice = v.object(
  {
    writeKey: v.pipe(shortText, v.description("The public key of the site")),
    purposes: v.pipe(byPurpose(v.boolean()), v.description("True: yes. False or absent: no")),
    notice: v.optional(
      v.object({
        version: shortText,
        hash: v.optional(shortText),
        language: v.optional(shortText),
        variant: v.optional(shortText),
      }),
    ),
    texts: v.optional(v.pipe(byPurpose(textHash), v.description("By purpose, the hash of the text that was shown"))),
  },
  "Send an object with writeKey and purposes",
);

export const visitorChoiceAnswer = v.object({
  site: text,
  id: v.pipe(text, v.description("Of this choice; after a withdrawal it opens the receipt")),
  at: time,
  state,
});
export type VisitorChoiceAnswer = v.InferOutput<typeof visitorChoiceAnswer>;
