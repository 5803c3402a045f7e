import { readFile } from "node:fs/promises";
import { buildEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, expect, it } from "vitest";

import { createErasureStore } from "./erasure-store.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

const page = await readFile(new URL("../../../docs/rights.md", import.meta.url), "utf8");
const requestedAt = new Date("2026-11-22T21:00:00Z");
const now = (): Date => new Date("2026-11-23T09:00:00Z");

let database: TestDatabase;
beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(() => database?.stop());

/** The commands of a recipe, as a shell understands them: what is asked, and the file that it goes to or comes from. */
function commandsOf(recipe: string): { sql: string; direction: string; file: string }[] {
  const commands = [...recipe.matchAll(/^clickhouse-client --database polder --query "([^"]+)" ([<>]) (\S+)$/gm)];
  expect(commands.length, "commands that this test understands").toBe(recipe.match(/^clickhouse-client /gm)?.length);
  return commands.map(([, sql, direction, file]) => ({ sql: sql!, direction: direction!, file: file! }));
}

const files = new Map<string, Uint8Array<ArrayBuffer>>();
/** As the client does: an answer is written to the file, and what is inserted comes out of it. */
async function run({ sql, direction, file }: ReturnType<typeof commandsOf>[number]): Promise<void> {
  const { url, admin } = database.engine;
  const answer = await fetch(`${url}/?${new URLSearchParams({ database: "polder", query: sql }).toString()}`, {
    method: "POST",
    headers: { "x-clickhouse-user": admin.username, "x-clickhouse-key": admin.password },
    ...(direction === "<" && { body: files.get(file)! }),
  });
  const bytes = await answer.arrayBuffer();
  expect(answer.status, `${sql}\n${Buffer.from(bytes).toString()}`).toBe(200);
  if (direction === ">") files.set(file, new Uint8Array(bytes));
}

it("brings erasures back by the recipe of docs/rights.md, whatever was restored", async () => {
  const { clickhouse } = database;
  const store = createErasureStore({ clickhouse });
  const recipe = /^```sh\n# before: [\s\S]*?^```/m.exec(page)?.[0] ?? "";
  const commands = commandsOf(recipe);
  expect(commands.map(({ direction }) => direction)).toEqual([">", ">", "<", "<"]);
  const event = (atom: number, device: string, offset: number) =>
    buildEventRow({ atom, anonymous_id: device, message_id: device, _offset: offset, time: "2026-11-22 20:00:00.000" });
  await clickhouse.insertRows("events", [event(64, "an-device", 0), event(128, "bo-device", 1)]);
  const order = { site: "shop", actor: "office", reason: "letter", at: requestedAt };
  const [erased] = await store.request({ ...order, people: [64] });
  const known = "SELECT id, keys, toString(requested_at) AS at FROM erasure";
  const listed = await clickhouse.query(known);
  const keys = await clickhouse.query("SELECT * FROM erasure_key");
  for (const command of commands.slice(0, 2)) await run(command);

  // As before the erasure.
  for (const table of ["erasure", "erasure_key", "erasure_receipt", "identity"])
    await clickhouse.command(`TRUNCATE TABLE ${table}`);
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
  expect(await clickhouse.query("SELECT person_id FROM people ORDER BY person_id")).toHaveLength(2);
  for (const command of commands.slice(2)) await run(command);
  expect(await clickhouse.query(known)).toEqual(listed);
  expect(await clickhouse.query("SELECT * FROM erasure_key")).toEqual(keys);
  await store.begin(await store.openErasures(10, now), now);
  expect(await clickhouse.query("SELECT person_id FROM people")).toEqual([{ person_id: 128 }]);
  const rounds = await clickhouse.query<{ round: number }>("SELECT round FROM erasure ORDER BY round");

  // Twice changes nothing.
  for (const command of commands.slice(2)) await run(command);
  expect(await clickhouse.query("SELECT round FROM erasure ORDER BY round")).toEqual(rounds);
  expect(await clickhouse.query("SELECT * FROM erasure_key")).toEqual(keys);

  // What the page says about showing later that somebody was erased.
  const proof = /^```sql\n(SELECT id, requested_at, actor FROM erasure[\s\S]*?)^```/m.exec(page)?.[1] ?? "";
  expect(await clickhouse.query(proof)).toEqual([]);
  const ofDevice = proof.replace("'u', 'customer-42'", "'d', 'an-device'");
  expect(await clickhouse.query(ofDevice)).toEqual([
    { id: erased!.id, requested_at: "2026-11-22 21:00:00.000", actor: "office" },
  ]);
});
