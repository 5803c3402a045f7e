import { createErasureStore, createEventStore, type ClickHouse } from "@polder/clickhouse";
import { arrivalText, createArrivals, type LogRecord } from "@polder/core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createBed, loadAll, record, type Bed } from "./loader.test-support.ts";

const topic = "polder.events";
const erasedAt = new Date("2026-11-22T21:00:00Z");
const now = (): Date => new Date("2026-11-22T21:00:10Z");
let bed: Bed;
let clickhouse: ClickHouse;

beforeAll(async () => {
  bed = await createBed();
  clickhouse = await bed.createDatabase();
});
afterAll(async () => {
  await clickhouse?.close();
  await bed?.remove();
});

const number = createArrivals("collector");
const arrivals = new Map<number, number>();

/** As a collector received it: what the loss ledger counts. */
const received = (over: Parameters<typeof record>[0], clock = "12:00:00"): LogRecord => {
  const one = record({ ...over, row: { ...over?.row, received_at: `2026-11-22 ${clock}.000` } });
  const hour = Number(clock.slice(0, 2));
  arrivals.set(hour, (arrivals.get(hour) ?? 0) + 1);
  const arrival = arrivalText(number(Date.parse(`2026-11-22T${clock}Z`), 1), 0);
  return { ...one, headers: { ...one.headers, arrival } };
};
const at = (time: string) => ({ time: `2026-11-22 ${time}.000` });
const ask = <Row>(sql: string): Promise<Row[]> => clickhouse.query<Row>(sql);

it("refuses what is sent again of an erased person, counts it, and takes whoever comes back for somebody new", async () => {
  const { log } = bed.openLog(1);
  const load = () => loadAll(log, createEventStore({ clickhouse }));
  const an = { anonymousId: "an-phone", userId: "" };
  const anKnown = { anonymousId: "an-phone", userId: "an" };
  const before = [
    received({ id: "m1", ...an }),
    received({ id: "m2", ...anKnown }),
    received({ id: "m3", anonymousId: "bo-phone" }),
  ];
  await log.append(topic, before);
  await load();
  const [{ atom } = { atom: 0 }] = await ask<{ atom: number }>("SELECT atom FROM events WHERE message_id = 'm1'");
  const [{ known } = { known: 0 }] = await ask<{ known: number }>(
    "SELECT atom AS known FROM events WHERE message_id = 'm2'",
  );
  await clickhouse.insertRows("identity", [{ site: "shop", atom: known, person: atom, version: 1 }]);
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
  const store = createErasureStore({ clickhouse });
  const [erasure] = await store.request({ site: "shop", people: [atom], actor: "a", reason: "r", at: erasedAt });
  expect(erasure?.identities).toBe(2);

  // Before its rows are removed: a retry, an event of before that comes late, one of another device of the same user, and one of after.
  await log.append(topic, [
    received({ id: "m1", ...an }),
    received({ id: "late", ...anKnown, row: at("20:00:00") }),
    received({ id: "tablet", anonymousId: "an-tablet", userId: "an", row: at("20:00:00") }),
    // Of the device: nobody is named by it.
    received({ id: "nobody", anonymousId: "an-phone", userId: "null", row: at("20:00:00") }),
    received({ id: "back", ...an, row: at("21:00:05") }, "21:00:06"),
    // Somebody else on the same device, before the erasure: nobody has erased them.
    received({ id: "else", anonymousId: "an-phone", userId: "cy", row: at("20:00:00") }),
  ]);
  const loader = await load();
  expect(loader.status()).toMatchObject({ loaded: 2, duplicate: 0, erased: 4 });
  const open = await store.openErasures(10, now);
  await store.begin(open, now);
  await store.carryOut(open, now);
  expect((await store.receipt(erasure!.id))?.state).toBe("done");

  // And after it, in every way in which it may come again: by a client, from a log that is read again, in an import.
  await log.append(topic, [
    received({ id: "m2", ...anKnown }),
    received({ id: "back-2", ...an, row: at("21:05:00") }, "21:05:01"),
  ]);
  expect((await load()).status()).toMatchObject({ loaded: 1, erased: 1 });
  const rows = await ask<{ id: string; person: number }>(
    "SELECT message_id AS id, person_id AS person FROM events_v ORDER BY id",
  );
  expect(rows.map(({ id }) => id)).toEqual(["back", "back-2", "else", "m3"]);
  const [back, again] = rows;
  expect(again?.person).toBe(back?.person);
  expect([atom, known, 0]).not.toContain(back?.person);
  expect(await store.openErasures(10, now)).toEqual([]);

  // The books: nothing is lost, nothing is there twice.
  const answered = { site: "shop", outcome: "answered", reason: "", process: "collector", first: [0], counted: 0 };
  await clickhouse.insertRows(
    "ledger_entry",
    [...arrivals].map(([hour, count]) => ({ ...answered, hour: `2026-11-22 ${hour}:00:00`, last: [count - 1] })),
  );
  expect(
    await ask(
      "SELECT toHour(l.hour) AS h, received, stored, dropped, lost, doubled, difference, in_flight, dropped_by_reason AS why FROM loss_balance AS l ORDER BY l.hour",
    ),
  ).toEqual([
    { h: 12, received: 9, stored: 4, dropped: 5, lost: 0, doubled: 0, difference: 0, in_flight: 0, why: { erased: 5 } },
    { h: 21, received: 2, stored: 2, dropped: 0, lost: 0, doubled: 0, difference: 0, in_flight: 0, why: {} },
  ]);
});
