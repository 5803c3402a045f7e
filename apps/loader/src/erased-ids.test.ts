import { createErasedKeys, type StoredRecord } from "@polder/core";
import { expect, it } from "vitest";
import { createErasedIdCheck } from "./erased-ids.ts";
import { record } from "./loader.test-support.ts";

const hashKey = new Uint32Array([5, 6, 7, 8]);
const hashes = createErasedKeys(hashKey);
const erasedAt = Date.parse("2026-11-22T21:00:00Z");

function start(keys: ReadonlyMap<bigint, number>, key: Uint32Array | undefined = hashKey) {
  const time = { now: erasedAt + 10_000, clock: 0 };
  const asked: (Date | undefined)[] = [];
  let answer = keys;
  const check = createErasedIdCheck(
    {
      async erasedIds(since) {
        asked.push(since);
        return { hashKey: key, keys: answer };
      },
    },
    () => new Date(time.now),
    () => time.clock,
  );
  return { time, asked, check, answerWith: (more: ReadonlyMap<bigint, number>) => (answer = more) };
}
let offset = 0;
const at = (clock: string, anonymousId = "phone", received = clock): StoredRecord => ({
  ...record({ anonymousId, row: { time: `2026-11-22 ${clock}.000`, received_at: `2026-11-22 ${received}.000` } }),
  offset: offset++,
});
const phone = new Map([[hashes.device("shop", "phone"), erasedAt]]);

it("finds what happened before the erasure, and what was received before it though it says otherwise", async () => {
  const { check } = start(phone);
  const [before, after, early, other] = [
    at("20:59:59"),
    at("21:00:00"),
    at("21:30:00", "phone", "20:00:00"),
    at("20:00:00", "tablet"),
  ];
  expect([...(await check.among([before, after, early, other]))]).toEqual([before, early]);
});

it("takes a row that cannot be read, or says no time, for one of before", async () => {
  const { check } = start(phone);
  const broken = { ...at("22:00:00"), value: Buffer.from("{") };
  const timeless = { ...at("22:00:00"), value: Buffer.from("{}") };
  expect((await check.among([broken, timeless])).size).toBe(2);
});

it("hashes nothing as long as nobody was erased", async () => {
  const { check, asked } = start(new Map(), undefined);
  expect((await check.among([at("20:00:00")])).size).toBe(0);
  expect(asked).toEqual([undefined]);
});

it("asks every two seconds, for what is new and ten minutes before it, and forgets nobody", async () => {
  const { check, asked, time, answerWith } = start(phone);
  await Promise.all([check.among([at("20:00:00")]), check.among([])]);
  expect(asked).toHaveLength(1);
  time.clock = 1_999;
  await check.among([]);
  expect(asked).toHaveLength(1);
  answerWith(new Map([[hashes.device("shop", "tablet"), erasedAt]]));
  time.clock = 2_000;
  time.now += 2_000;
  expect((await check.among([at("20:00:00"), at("20:00:00", "tablet")])).size).toBe(2);
  expect(asked).toEqual([undefined, new Date(erasedAt + 10_000 - 600_000)]);
});
