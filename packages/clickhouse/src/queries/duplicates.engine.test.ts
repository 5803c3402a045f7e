import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reloadIdentities } from "../reload-identities.ts";
import { startTestDatabase, type TestDatabase } from "../test-support/start-test-database.ts";
import { createDuplicateQueries, type DuplicateQueries } from "./duplicates.ts";

let database: TestDatabase;
let queries: DuplicateQueries;

/** Person `atom * 64`, who states these traits: with a user id by a login, without one in a form. */
function person(
  n: number,
  traits: { [name: string]: string },
  overrides: Partial<LoadedEventRow> = {},
): LoadedEventRow {
  const names = Object.keys(traits);
  return buildEventRow({
    _offset: n,
    atom: n * 64,
    message_id: `message-${n}`,
    anonymous_id: `device-${n}`,
    type: "identify",
    name: "identify",
    "traits.name": names,
    "traits.value": Object.values(traits),
    "traits.class": names.map(() => "identity"),
    "traits.purpose": names.map(() => "profile"),
    "traits.personal": names.map(() => 1),
    ...overrides,
  });
}
const user = (n: number) => ({ user_id: `user-${n}` });
const anna = { firstName: "Anna", lastName: "de Vries", birthday: "1980-02-03" };

const rows = [
  // The same address by log-in, and what else they have in common.
  person(1, { email: "anna@shop.example", ...anna }, user(1)),
  person(2, { email: " ANNA@shop.example", name: "anna  de-vries", date_of_birth: "1980-02-03T00:00:00Z" }, user(2)),
  // The same number, but one of them only typed it.
  person(3, { phone: "+31 6 1234" }, user(3)),
  person(4, { mobile: "0031 61234" }),
  // The same mailbox in other letters.
  person(5, { email: "b.oss+news@gmail.com" }, user(5)),
  person(6, { email: "boss@googlemail.com" }, user(6)),
  // The same name, another day of birth; and the same day alone.
  person(7, { ...anna, birthday: "1981-02-03" }, user(7)),
  person(8, { birthday: "1980-02-03" }, user(8)),
  // An address of an office.
  ...Array.from({ length: 11 }, (_, i) => person(20 + i, { email: "info@office.example" }, user(20 + i))),
  // Of another site.
  person(40, { email: "anna@shop.example" }, { ...user(40), site: "other" }),
  // At a site where a counter stands for nobody: what is said there is typed in, as on a page that sends `null`.
  person(50, { email: "kim@shop.example" }, { ...user(50), site: "till" }),
  person(51, { email: "kim@shop.example" }, { user_id: "Counter ", site: "till" }),
  person(52, { phone: "06 55" }, { ...user(52), site: "till" }),
  person(53, { phone: "06 55" }, { user_id: "null", site: "till" }),
  // Somebody who was erased.
  person(41, { email: "anna@shop.example" }, user(41)),
];
const all = { minScore: 0, limit: 100 };

beforeAll(async () => {
  database = await startTestDatabase();
  queries = createDuplicateQueries(database.clickhouse, (site) => (site === "till" ? ["counter"] : []));
  await database.clickhouse.insertBytes("events", rowBytes(rows));
  await database.clickhouse.insertRows("identity", [{ site: "shop", atom: 41 * 64, person: 0, version: 1 }]);
  await reloadIdentities(database.clickhouse);
});
afterAll(() => database.stop());

describe("duplicates", () => {
  it("are people who share what says who one is, the surest first", async () => {
    expect(await queries.duplicates("shop", all)).toEqual([
      { left: 64, right: 128, signs: ["email", "name_and_birth_date"], score: 98 },
      { left: 320, right: 384, signs: ["similar_email"], score: 60 },
      { left: 192, right: 256, signs: ["unconfirmed_phone"], score: 50 },
    ]);
    expect(await queries.duplicates("other", all)).toEqual([]);
    expect(await queries.duplicates("shop", { ...all, minScore: 61 })).toHaveLength(1);
  });

  it("are less sure where one of the two was named by what stands for nobody", async () => {
    expect((await queries.duplicates("till", all)).map(({ left, signs }) => [left, signs])).toEqual([
      [50 * 64, ["unconfirmed_email"]],
      [52 * 64, ["unconfirmed_phone"]],
    ]);
  });

  it("come a page at a time, each once", async () => {
    const [first] = await queries.duplicates("shop", { ...all, limit: 1 });
    const [second] = await queries.duplicates("shop", { ...all, limit: 1, after: first });
    const [third] = await queries.duplicates("shop", { ...all, limit: 1, after: second });
    expect([first, second, third].map((each) => each?.left)).toEqual([64, 320, 192]);
    expect(await queries.duplicates("shop", { ...all, after: third })).toEqual([]);
  });

  it("are never suggested again once dismissed, also under other numbers, unless that is undone", async () => {
    const at = "2026-11-22 11:00:00";
    const decision = { site: "shop", edges: [], actor: "ann", reason: "mother and daughter", undoes: "" };
    const nodes = { left: "user:user-5", right: "user:user-6" };
    await database.clickhouse.insertRows("identity_decision", [
      { ...decision, ...nodes, id: "no-1", at, action: "dismiss" },
    ]);
    expect((await queries.duplicates("shop", all)).map(({ left }) => left)).toEqual([64, 192]);

    // Person 320 becomes part of 448.
    const merged = { site: "shop", atom: 384, person: 192, version: 2 };
    await database.clickhouse.insertRows("identity", [merged]);
    await reloadIdentities(database.clickhouse);
    expect((await queries.duplicates("shop", all)).map(({ left, right }) => [left, right])).toEqual([
      [64, 128],
      [192, 256],
    ]);
    await database.clickhouse.insertRows("identity", [{ ...merged, person: 384, version: 3 }]);
    await reloadIdentities(database.clickhouse);

    // An undo can be undone, and that too.
    for (const [hour, undoes] of ["no-1", "undo-12", "undo-13", "undo-14"].entries()) {
      const id = `undo-${12 + hour}`;
      await database.clickhouse.insertRows("identity_decision", [
        { ...decision, left: "", right: "", id, at: `2026-11-22 ${12 + hour}:00:00`, action: "undo", undoes },
      ]);
      expect(
        (await queries.duplicates("shop", all)).map(({ left }) => left),
        id,
      ).toEqual(hour % 2 === 0 ? [64, 320, 192] : [64, 192]);
    }
  });
});
