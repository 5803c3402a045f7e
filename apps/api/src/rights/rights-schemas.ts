import * as v from "valibot";

const text = (max: number) => v.pipe(v.string(), v.minLength(1), v.maxLength(max));
const site = v.optional(v.pipe(text(64), v.description("Id of the site. Default: the first one")));
const by = v.pipe(
  v.optional(v.picklist(["any", "person", "user", "anonymous"]), "any"),
  v.description(
    "What the id is: any is a user id or an anonymous id. The number of a person has to be called one: numbers of customers look the same",
  ),
);
const trait = v.pipe(text(200), v.description("Name of a trait"));
const time = v.pipe(v.number(), v.integer(), v.description("Milliseconds since 1970"));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const asked = {
  actor: v.pipe(text(200), v.description("Who asks for it: a name or an office. It is kept in the receipt")),
  reason: v.pipe(text(500), v.description("Why. It is kept in the receipt: name nobody")),
};

const part = {
  traits: v.optional(v.pipe(v.array(trait), v.minLength(1), v.maxLength(200), v.description("Only these traits go"))),
  class: v.optional(
    v.pipe(
      v.picklist(["identity", "descriptive", "behavioural", "qualitative"]),
      v.description("Only traits of this class go: identity is contact data"),
    ),
  ),
  keep: v.optional(v.pipe(v.array(trait), v.maxLength(200), v.description("Of these traits nothing goes"))),
};

export const eraseBody = v.strictObject({ site, by, ...asked, ...part });
export const eraseManyBody = v.strictObject({
  site,
  by,
  people: v.pipe(v.array(text(200)), v.minLength(1), v.maxLength(1_000), v.description("Ids of people")),
  ...asked,
  ...part,
});

export const exportQuery = v.object({
  site,
  by,
  format: v.optional(v.picklist(["json", "csv"]), "json"),
});
export const personParameter = v.object({ id: text(200) });
export const erasureParameter = v.object({ id: text(64) });
export const listQuery = v.object({ site });

const requested = v.object({
  erasure: v.pipe(v.string(), v.description("Id of the erasure: GET /v1/erasures/<id> is its receipt")),
  person: count,
  kind: v.picklist(["person", "traits"]),
  identities: v.pipe(count, v.description("Identities that are hidden from now on, and of which everything goes")),
  traits: v.pipe(v.array(v.string()), v.description("With kind traits: those that go")),
});
export const eraseAnswer = requested;
export const eraseManyAnswer = v.object({
  erasures: v.array(v.object({ id: v.pipe(v.string(), v.description("As it was given")), ...requested.entries })),
  notFound: v.pipe(v.array(v.string()), v.description("Ids of nobody")),
});

const summary = {
  id: v.string(),
  site: v.string(),
  kind: v.picklist(["person", "traits"]),
  requestedAt: time,
  actor: v.string(),
  reason: v.string(),
  identities: count,
  state: v.pipe(
    v.picklist(["requested", "begun", "done"]),
    v.description("requested: hidden; begun: being removed; done: nothing is left in any table"),
  ),
};
export const erasureList = v.object({ erasures: v.array(v.object(summary)) });
export const erasureReceipt = v.object({
  ...summary,
  person: count,
  traits: v.array(v.string()),
  keys: v.pipe(
    v.array(v.string()),
    v.description(
      "Keyed hashes of the ids. Whoever has an id and the key can show that it was erased; the id cannot be told from them",
    ),
  ),
  rounds: v.array(
    v.object({
      round: v.pipe(count, v.description("1; more where something came to light after it had been carried out")),
      isDone: v.boolean(),
      at: time,
      tables: v.array(
        v.object({
          table: v.string(),
          rows: v.pipe(count, v.description("Rows of this person that were there")),
          remaining: v.pipe(count, v.description("Rows that are left")),
        }),
      ),
    }),
  ),
});
