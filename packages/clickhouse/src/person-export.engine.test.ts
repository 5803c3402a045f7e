import { buildEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, expect, it } from "vitest";

import type { ClickHouse } from "./clickhouse.ts";
import { createPersonExport, type ExportedRow, type ExportSection } from "./person-export.ts";
import { createPersonFlagStore } from "./person-flag-store.ts";
import { createComputedTraitStore } from "./traits/computed-trait-store.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

const said = "2026-11-22 20:15:00.000";
const later = "2026-11-22 21:00:00.000";

let database: TestDatabase;
let clickhouse: ClickHouse;

beforeAll(async () => {
  database = await startTestDatabase();
  clickhouse = database.clickhouse;
  const event = { type: "identify", name: "identify", user_id: "an", time: said } as const;
  await clickhouse.insertRows("events", [
    buildEventRow({
      ...event,
      atom: 64,
      _offset: 1,
      message_id: "m-1",
      anonymous_id: "phone",
      basis: "contract",
      "traits.name": ["plan"],
      "traits.value": ["gold"],
      "traits.class": ["descriptive"],
      "traits.purpose": ["profile"],
      "traits.personal": [0],
    }),
    buildEventRow({ ...event, atom: 128, _offset: 2, message_id: "m-2", anonymous_id: "laptop", type: "page" }),
    buildEventRow({ ...event, atom: 192, _offset: 3, message_id: "m-3", anonymous_id: "till", user_id: "bo" }),
    buildEventRow({ atom: 256, _offset: 4, message_id: "m-4", anonymous_id: "tablet", time: said }),
  ]);
  await clickhouse.insertRows(
    "identity",
    [128, 256].map((atom) => ({ site: "shop", atom, person: 64, version: 1 })),
  );
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
});
afterAll(() => database?.stop());

async function exported(section: ExportSection, person = 64): Promise<ExportedRow[]> {
  const found: ExportedRow[] = [];
  for await (const row of (await createPersonExport(clickhouse).read("shop", person))!)
    if (row.section === section) found.push(row);
  return found;
}

it("says on what basis a trait was taken", async () => {
  expect(await exported("traits")).toMatchObject([{ name: "plan", value: "gold", basis: "contract" }]);
});

it("has computed traits as they are now", async () => {
  await createComputedTraitStore(clickhouse).save({
    site: "shop",
    name: "stated",
    version: 3,
    definition: { compute: "count", event: "identify" },
    at: Date.parse("2026-11-22T20:00:00Z"),
    actor: "desk",
    reason: "to see",
  });
  expect(await exported("computed_traits")).toMatchObject([{ name: "stated", value: "2", details: { version: 3 } }]);
});

it("names a restriction once, of however many ids it was filed for", async () => {
  await createPersonFlagStore({ clickhouse, blockedAt: () => [] }).decide({
    site: "shop",
    person: 64,
    flag: "object",
    purposes: ["ads"],
    isSet: true,
    actor: "desk",
    reason: "letter",
    at: new Date("2026-11-22T21:00:00Z"),
  });
  expect(await clickhouse.query("SELECT count() > 1 AS isMore FROM person_flag")).toEqual([{ isMore: 1 }]);
  expect(await exported("restrictions")).toMatchObject([{ name: "object", value: "set", purposes: ["ads"] }]);
});

it("says who surely got them, and who may have", async () => {
  const file = {
    site: "shop",
    audience: "viewers",
    version: 1,
    at: later,
    purpose: "ads",
    format: "csv",
    actor: "ann",
  };
  const of = (id: string, members: number, count: number) => ({
    ...file,
    id,
    recipient: id,
    reason: "spring",
    identifiers: ["email"],
    members,
    exported: count,
    left_out: {},
  });
  await clickhouse.insertRows("audience_export", [of("all", 3, 3), of("some", 3, 1), of("none", 3, 0)]);
  await clickhouse.insertRows("audience_log", [
    { seq: 1, site: "shop", audience: "viewers", person: 64, change: "enter", reason: "enter", survivor: 0, at: said, version: 1 },
  ]); // oxfmt-ignore
  expect((await exported("recipients")).map(({ recipient, value }) => [recipient, value])).toEqual([
    ["all", "in the file"],
    ["some", "maybe in the file"],
  ]);
});

it("has what was decided about them by name, and no id of the others", async () => {
  const decision = { site: "shop", actor: "desk", left: "", right: "", edges: [], undoes: "" };
  await clickhouse.insertRows("identity_decision", [
    { ...decision, id: "1", at: said, action: "merge", left: "user:an", right: "user:bo", reason: "same house" },
    {
      ...decision,
      id: "2",
      at: later,
      action: "unmerge",
      edges: [{ kind: "manual", node: "user:an", other: "user:bo" }],
      reason: "two people",
    },
    { ...decision, id: "3", at: later, action: "undo", undoes: "2", reason: "one after all" },
    { ...decision, id: "4", at: said, action: "dismiss", left: "user:cy", right: "user:bo", reason: "others" },
  ]);
  const found = await exported("decisions");
  expect(found.map(({ name, value, details }) => [name, value, details["reason"]])).toEqual([
    ["merge", "user:an", "same house"],
    ["unmerge", "user:an", "two people"],
    ["undo", "", "one after all"],
  ]);
  expect(JSON.stringify(found)).not.toContain("bo");
});
