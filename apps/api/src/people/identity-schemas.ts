import * as v from "valibot";
import { count, personBy, signed, siteQuery, text } from "../schemas.ts";

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(500));
const number = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 32 - 1));
const time = v.pipe(v.number(), v.integer(), v.description("Milliseconds since 1970"));

export const personParameter = v.object({ id });
export const personQuery = v.object({ ...siteQuery.entries, by: personBy });
export const decisionParameter = v.object({ id: v.pipe(v.string(), v.minLength(1), v.maxLength(64)) });
export const signature = v.strictObject(signed, "Send an object with actor and reason");

export const mergeBody = v.strictObject(
  { person: v.pipe(number, v.description("Number of the other person")), ...signed },
  "Send an object with person, actor and reason",
);

export const unmergeBody = v.strictObject(
  {
    person: v.optional(
      v.pipe(number, v.description("A number that was merged into this person by hand: it is that person again")),
    ),
    userIds: v.optional(
      v.pipe(v.array(id), v.maxLength(100), v.description("User ids that are to be apart from the rest")),
    ),
    anonymousIds: v.optional(
      v.pipe(
        v.array(id),
        v.maxLength(100),
        v.description("Devices that are to be apart from the rest: what they did without a user id"),
      ),
    ),
    ...signed,
  },
  "Send an object with actor, reason, and what is to be apart: person, or userIds and anonymousIds",
);

const decision = v.object({
  id: v.pipe(text, v.description("Of the decision, by which it can be undone")),
  at: time,
  action: v.picklist(["merge", "unmerge", "undo", "dismiss"]),
  left: v.pipe(text, v.description("merge, dismiss: user:… or device:…")),
  right: text,
  edges: v.pipe(
    v.array(v.object({ kind: text, node: text, other: text })),
    v.description("unmerge: what no longer joins, also when events state it again"),
  ),
  undoes: v.pipe(text, v.description("undo: the decision that is taken back")),
  actor: text,
  reason: text,
  isInForce: v.pipe(
    v.boolean(),
    v.description("False: it was taken back, or a later decision about the same ids holds instead"),
  ),
});
export const decisionsAnswer = v.object({
  site: text,
  decisions: v.pipe(v.array(decision), v.description("Newest first")),
  next: v.pipe(
    v.nullable(text),
    v.description("Send it as `before` for those that were made earlier; null: that was all"),
  ),
});
export const decisionsQuery = v.object({
  site: siteQuery.entries.site,
  limit: v.pipe(
    v.optional(v.pipe(v.string(), v.regex(/^\d{1,4}$/), v.transform(Number), v.minValue(1), v.maxValue(500)), "50"),
    v.description("Decisions of a page: 1 to 500"),
  ),
  before: v.pipe(
    v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64))),
    v.description("Goes on from a page: its `next`"),
  ),
});

export const decidedAnswer = v.object({
  decision: text,
  isSettled: v.pipe(v.boolean(), v.description("Whether every count follows it already; false with 202")),
});

export const whyAnswer = v.object({
  site: text,
  person: number,
  isQuarantined: v.pipe(v.boolean(), v.description("Too many identities: each of them is a person of its own")),
  identities: v.pipe(
    v.array(v.object({ atom: number, anonymousId: text, userId: text })),
    v.description("The first thousand of them"),
  ),
  identitiesInAll: count,
  edges: v.array(
    v.object({
      kind: v.picklist(["login", "import", "alias", "email", "phone", "manual"]),
      left: v.pipe(text, v.description("user:… or device:…")),
      right: v.pipe(text, v.description("user:…, device:…, email:<hash> or phone:<hash>")),
      outcome: v.pipe(text, v.description("followed: it joins; else why not")),
      reason: v.pipe(text, v.description("The same in a sentence")),
      rule: v.pipe(text, v.description("email, phone: who says so, server, login or form; others: their kind")),
      time: v.pipe(v.nullable(time), v.description("When it was said first")),
      messageId: v.pipe(
        v.nullable(text),
        v.description("Of the event that said it first; null for what was decided by hand"),
      ),
      decision: v.pipe(v.nullable(text), v.description("Of what was joined or revoked by hand")),
    }),
  ),
  edgesInAll: v.pipe(
    count,
    v.description("How many there are: the first thousand are shown, those that join before all"),
  ),
  decisions: v.pipe(v.array(decision), v.description("About these ids, oldest first: the last thousand")),
});
