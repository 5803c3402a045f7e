import {
  audienceStates,
  exportFormats,
  exportIdentifiers,
  exportLeftOutReasons,
  type ExportLeftOutReason,
} from "@polder/clickhouse";
import { purposes } from "@polder/protocol";
import * as v from "valibot";

/** What the routes of audiences take and answer. Times are milliseconds since 1970. */

const time = v.pipe(v.number(), v.integer(), v.description("Milliseconds since 1970"));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const text = v.string();
const stated = v.pipe(text, v.trim(), v.minLength(1), v.maxLength(500));
const siteId = v.pipe(text, v.minLength(1), v.maxLength(200));
const purpose = v.picklist(purposes);

export const audienceId = v.pipe(
  text,
  v.regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, "An id has small letters, digits, - and _, 64 at most"),
  v.check(
    (id) => !["today", "ready-made", "overlap", "preview"].includes(id),
    "This word means something else in an address",
  ),
);
const name = v.pipe(text, v.trim(), v.minLength(1), v.maxLength(200));
const definition = v.pipe(
  v.unknown(),
  v.description("As docs/audience.schema.json says; what is wrong with it is answered with its path"),
);
const everySeconds = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(10),
  v.maxValue(86_400),
  v.description("How often it is worked out, at most"),
);
const who = {
  actor: v.pipe(stated, v.description("Who does it: kept with the change")),
  reason: v.optional(v.pipe(text, v.trim(), v.maxLength(500)), ""),
};

export const newAudience = v.strictObject({
  id: audienceId,
  name,
  definition,
  purpose: v.optional(
    v.pipe(purpose, v.description("What it is for: only who may be used for it is in it")),
    "profile",
  ),
  isAnonymous: v.optional(
    v.pipe(v.boolean(), v.description("Nobody is named, only a size from the floor on is told")),
    false,
  ),
  sizeFloor: v.optional(v.pipe(v.number(), v.integer(), v.minValue(50), v.maxValue(1_000_000)), 50),
  livesDays: v.optional(
    v.pipe(
      v.number(),
      v.integer(),
      v.minValue(1),
      v.maxValue(30),
      v.description("Of an anonymous one: days until it is archived and its sizes are removed"),
    ),
    30,
  ),
  everySeconds: v.optional(everySeconds, 10),
  ...who,
});

export const audienceChange = v.strictObject({
  name: v.optional(name),
  definition: v.optional(definition),
  purpose: v.optional(purpose),
  state: v.optional(v.picklist(audienceStates)),
  everySeconds: v.optional(everySeconds),
  revision: v.optional(
    v.pipe(count, v.description("The revision that it is a change of: refused when there is a newer one")),
  ),
  ...who,
});

export const audienceAnswer = v.object({
  id: text,
  name: text,
  revision: count,
  version: v.pipe(count, v.description("Number of the definition")),
  definition: v.unknown(),
  purpose,
  state: v.picklist(audienceStates),
  isAnonymous: v.boolean(),
  sizeFloor: v.nullable(v.pipe(count, v.description("Of an anonymous one"))),
  expiresAt: v.nullable(time),
  everySeconds: count,
  people: v.pipe(
    v.nullable(count),
    v.description(
      "People in it, as known now; null as long as it was not worked out, and of an anonymous one below its floor",
    ),
  ),
  fewerThan: v.pipe(v.nullable(count), v.description("Of an anonymous one below its floor: the floor")),
  countedAt: v.nullable(time),
  changedAt: time,
  actor: text,
  reason: text,
});
export type AudienceAnswer = v.InferOutput<typeof audienceAnswer>;

export const audienceList = v.object({
  site: text,
  audiences: v.array(audienceAnswer),
  unreadable: v.pipe(
    v.array(v.object({ id: text, fault: text })),
    v.description("Whose definition this version cannot read"),
  ),
});

export type AudienceList = v.InferOutput<typeof audienceList>;

export const audienceRevisions = v.object({
  site: text,
  id: text,
  revisions: v.pipe(
    v.array(
      v.object({
        revision: count,
        version: count,
        name: text,
        definition: v.unknown(),
        purpose,
        state: text,
        at: time,
        actor: text,
        reason: text,
      }),
    ),
    v.description("Newest first"),
  ),
});

export const audienceMembers = v.object({
  site: text,
  id: text,
  members: v.array(v.object({ person: count, since: time })),
  next: v.pipe(v.nullable(count), v.description("For after; null at the end")),
});

const audienceChangeAnswer = v.object({
  seq: count,
  person: count,
  change: v.picklist(["enter", "exit"]),
  reason: v.pipe(text, v.description("enter, exit, merged, split, consent, erased or definition")),
  survivor: v.pipe(
    v.nullable(count),
    v.description("With merged the person that goes on, with split the one that it was part of"),
  ),
  at: time,
  version: count,
});
export const audienceLog = v.object({
  site: text,
  id: text,
  changes: v.pipe(v.array(audienceChangeAnswer), v.description("Newest first")),
  next: v.pipe(v.nullable(count), v.description("For before; null at the end")),
});

export const audienceSizes = v.object({
  site: text,
  id: text,
  sizes: v.array(
    v.object({
      at: time,
      version: count,
      people: v.pipe(v.nullable(count), v.description("As it was seen; null below the floor")),
      restated: v.pipe(
        v.nullable(count),
        v.description("The same people as known now; null unless asked for, and below the floor"),
      ),
    }),
  ),
});

export const overlapOrder = v.strictObject({
  audiences: v.pipe(v.array(audienceId), v.minLength(2), v.maxLength(20)),
});
export const overlapAnswer = v.object({
  site: text,
  audiences: v.array(text),
  counts: v.pipe(
    v.array(v.array(count)),
    v.description("People in both, in the order of audiences; on the diagonal of each"),
  ),
  shares: v.pipe(
    v.array(v.array(v.number())),
    v.description("Of the people of the row's audience, the share that is in the column's"),
  ),
});

export const readyMadeList = v.object({
  audiences: v.array(v.object({ id: text, name: text, definition: v.unknown(), purpose, isOn: v.boolean() })),
});
export const readyMadeOrder = v.strictObject({
  audiences: v.optional(v.pipe(v.array(audienceId), v.description("Which; all of them when not given"))),
  ...who,
});
export const readyMadeAnswer = v.object({ site: text, added: v.array(text), there: v.array(text) });

export const exportOrder = v.strictObject({
  format: v.picklist(exportFormats),
  identifiers: v.pipe(v.array(v.picklist(exportIdentifiers)), v.minLength(1), v.maxLength(exportIdentifiers.length)),
  purpose: v.optional(v.pipe(purpose, v.description("What it is for; that of the audience when not given"))),
  recipient: v.pipe(stated, v.description("Who gets it")),
  actor: who.actor,
  reason: v.pipe(stated, v.description("Why: kept with the export")),
});

type LeftOut = { [reason in ExportLeftOutReason]: typeof count };
const exportCounts = {
  members: v.pipe(count, v.description("People in the audience")),
  exported: v.pipe(count, v.description("People in the file; a row more for each further value of an identifier")),
  leftOut: v.pipe(
    v.object(Object.fromEntries(exportLeftOutReasons.map((reason) => [reason, count])) as LeftOut),
    v.description(
      "People who are not, by the first reason that holds: erased, unknown (nothing is stored of them), restricted, objected, denied (said no to the purpose), expired (said yes too long ago), no_consent (never said yes), no_identifier (has none of those asked for)",
    ),
  ),
};
/** In the header x-polder-export. */
export const exportSummary = v.object({
  id: text,
  audience: text,
  version: count,
  purpose,
  decidedAt: v.pipe(time, v.description("What people choose after this moment is not in it")),
  ...exportCounts,
});
export const exportList = v.object({
  site: text,
  id: text,
  exports: v.array(
    v.object({
      id: text,
      version: count,
      at: time,
      purpose,
      recipient: text,
      actor: text,
      reason: text,
      format: text,
      identifiers: v.array(text),
      ...exportCounts,
    }),
  ),
});

export const siteQuery = v.object({ site: v.optional(siteId) });
export const idParameter = v.object({ id: audienceId });
const wholeNumber = (least: number, most: number) =>
  v.pipe(text, v.regex(/^\d{1,16}$/, "A whole number"), v.transform(Number), v.minValue(least), v.maxValue(most));
const limit = v.optional(wholeNumber(1, 1_000), "100");
export const membersQuery = v.object({
  ...siteQuery.entries,
  after: v.optional(wholeNumber(0, 2 ** 32 - 1), "0"),
  limit,
});
export const logQuery = v.object({
  ...siteQuery.entries,
  before: v.optional(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
  person: v.optional(wholeNumber(1, 2 ** 32 - 1)),
  limit,
});
export const sizesQuery = v.object({
  ...siteQuery.entries,
  from: v.optional(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
  to: v.optional(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
  restated: v.optional(
    v.pipe(v.picklist(["true", "false"]), v.description("true: also the same people as known now")),
    "false",
  ),
});

export const faultsAnswer = v.object({
  code: text,
  message: text,
  docs: text,
  faults: v.array(v.object({ path: text, message: text })),
});
