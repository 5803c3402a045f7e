import { expect, it } from "vitest";
import { spliceRows } from "./splice-rows.ts";

const record = (offset: number, value: string) => ({
  offset,
  key: "k",
  value: Buffer.from(value),
  headers: { id: "m", site: "s", anonymousId: "", userId: "" },
});

it("puts coordinates and atom in front of each row, one row a line", () => {
  const bytes = spliceRows(3, [record(17, '{"name":"café ☕"}'), record(19, '{"name":"b"}')], [67, 0]);
  const rows = Buffer.from(bytes).toString("utf8").split("\n");
  expect(rows).toEqual([
    '{"_partition":3,"_offset":17,"atom":67,"name":"café ☕"}',
    '{"_partition":3,"_offset":19,"atom":0,"name":"b"}',
    "",
  ]);
});

it("leaves the atom out where a table has none", () => {
  expect(Buffer.from(spliceRows(0, [record(0, '{"reason":"x"}')])).toString()).toBe(
    '{"_partition":0,"_offset":0,"reason":"x"}\n',
  );
});
