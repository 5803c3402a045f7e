import { choiceTimesLength } from "@polder/protocol";
import { expect, it } from "vitest";
import { readConsentRecord, toConsentRecord } from "./consent-record.ts";

const times: readonly number[] = Array.from({ length: choiceTimesLength }, (_, n) => (n === 3 ? 1_795_378_500_000 : 0));

it("comes back as it was", () => {
  const record = toConsentRecord({ visitor: "shop:zoë", times });
  expect(record.key).toBe("shop:zoë");
  expect(readConsentRecord(record)).toEqual({ visitor: "shop:zoë", times });
});

it("names nobody but in its key, which is what compaction and erasure go by", () => {
  const { value, headers } = toConsentRecord({ visitor: "shop:visitor-1", times });
  expect(Buffer.from(value).toString() + JSON.stringify(headers)).not.toContain("visitor-1");
});

it.each([
  ["no JSON", "{"],
  ["no object", "null"],
  ["a version that never was", JSON.stringify({ v: 0, times })],
  ["a version that is no number", JSON.stringify({ v: "2", times })],
  ["no times", JSON.stringify({ v: 1 })],
  ["too few times", JSON.stringify({ v: 1, times: times.slice(1) })],
  ["times that are none", JSON.stringify({ v: 1, times: times.with(4, -1) })],
  ["times beyond every clock", JSON.stringify({ v: 1, times: times.with(4, 2 ** 48) })],
])("is none when it holds %s", (_, text) => {
  expect(readConsentRecord({ key: "shop:a", value: Buffer.from(text) })).toBe("foreign");
});

it("tells a later version, whatever it holds, and a record that only takes others out of the topic", () => {
  const read = (text: string) => readConsentRecord({ key: "shop:a", value: Buffer.from(text) });
  expect(read(JSON.stringify({ v: 2, times }))).toBe("newer");
  expect(read(JSON.stringify({ v: 7, choices: {} }))).toBe("newer");
  expect(read("")).toBe("removed");
});

it("is none without a visitor", () => {
  expect(readConsentRecord({ ...toConsentRecord({ visitor: "", times }) })).toBe("foreign");
});
