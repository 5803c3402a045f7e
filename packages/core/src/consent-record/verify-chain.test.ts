import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { chainChoices, type StoredChoice } from "./chain-choices.ts";
import { canonicalRow, hashedColumns, hashOf, type ConsentLogRow } from "./consent-log-row.ts";
import { verifyChain } from "./verify-chain.ts";

const choice = (n: number, fields: Partial<StoredChoice> = {}): StoredChoice => ({
  site: "shop",
  message_id: `m${n}`,
  _partition: 0,
  _offset: n,
  at: "2026-11-22 20:15:00.000",
  received_at: "2026-11-22 20:15:01.000",
  atom: 64,
  consent_id: `c${n}`,
  "choice.purpose": ["measurement"],
  "choice.state": ["granted"],
  notice: '{"version":"3","language":"nl","texts":{"measurement":"abc"},"gpc":true}',
  regime: "opt_in",
  country: "NL",
  properties: "{}",
  ...fields,
});
const chain = (length: number): ConsentLogRow[] => chainChoices(Array.from({ length }, (_, i) => choice(i + 1)));

async function* each(rows: readonly ConsentLogRow[]): AsyncGenerator<ConsentLogRow> {
  yield* rows;
}
const verify = (rows: readonly ConsentLogRow[], noted?: ReadonlyMap<number, string>) => verifyChain(each(rows), noted);

describe("a link", () => {
  it("is hashed over one form that others can write as well", () => {
    const [link] = chain(1);
    const form =
      '["polder.consent/1","","shop",1,"m1",0,1,"2026-11-22 20:15:00.000","2026-11-22 20:15:01.000",64,"c1",' +
      '["measurement"],["granted"],["measurement"],["abc"],"3","","nl","","opt_in",1,"NL","{}"]';
    expect(canonicalRow(link!)).toBe(form);
    expect(link!.hash).toBe(createHash("sha256").update(form).digest("hex"));
  });

  it("covers every column but its own hash", () => {
    expect(Object.keys(chain(1)[0]!).toSorted()).toEqual(["hash", ...hashedColumns].toSorted());
  });

  it("goes on after the last one there is", () => {
    const [first, second, third] = chain(3);
    expect(chainChoices([choice(2), choice(3)], first)).toEqual([second, third]);
  });

  it("says nothing of what an event did not say", () => {
    expect(chainChoices([choice(1, { notice: "" })])[0]).toMatchObject({ notice_version: "", "text.hash": [], gpc: 0 });
  });
});

describe("a chain", () => {
  it("is whole as it was written, and when there is none", async () => {
    const rows = chain(5);
    expect(await verify(rows)).toEqual({ ok: true, links: 5, head: rows[4]!.hash });
    expect(await verify([])).toEqual({ ok: true, links: 0, head: "" });
  });

  it("says of a changed link whether what it says, its hash or its predecessor was changed", async () => {
    const broken = async (n: number, change: Partial<ConsentLogRow>) => {
      const result = await verify(chain(4).map((row) => (row.n === n ? { ...row, ...change } : row)));
      return result.ok
        ? undefined
        : `${result.links} ${result.broken.n} ${result.broken.kind}: ${result.broken.detail}`;
    };
    expect(await broken(2, { country: "BE" })).toMatch(/^1 2 changed: What record 2 says and its hash do not agree/);
    expect(await broken(4, { country: "BE" })).toMatch(/^3 4 changed: What record 4 says/);
    expect(await broken(2, { hash: "0" })).toMatch(/^1 2 changed: hash of 2 was changed/);
    expect(await broken(2, { previous_hash: "0" })).toMatch(/^1 2 changed: previous_hash of 2 is not the hash of 1/);
    expect(await broken(1, { previous_hash: "0" })).toMatch(/^0 1 changed/);
  });

  it("is broken where a changed link was given a hash that fits it", async () => {
    const rows = chain(4).map((row) => (row.n === 2 ? { ...row, country: "BE" } : row));
    rows[1] = { ...rows[1]!, hash: hashOf(rows[1]!) };
    expect(await verify(rows)).toMatchObject({ ok: false, links: 2, broken: { n: 3, kind: "reordered" } });
  });

  it("written anew from a changed link on is found by a hash that was noted, and only by it", async () => {
    const rows = chain(4);
    const forged = chainChoices([choice(2, { country: "BE" }), choice(3), choice(4)], rows[0]);
    expect((await verify([rows[0]!, ...forged])).ok).toBe(true);
    const noted = new Map([[3, rows[2]!.hash]]);
    expect((await verify(rows, noted)).ok).toBe(true);
    expect(await verify([rows[0]!, ...forged], noted)).toMatchObject({ ok: false, broken: { n: 3, kind: "changed" } });
  });

  it("whose newest links were cut off is found by a hash that was noted, and only by it", async () => {
    const rows = chain(4);
    expect((await verify(rows.slice(0, 2))).ok).toBe(true);
    expect(await verify(rows.slice(0, 2), new Map([[4, rows[3]!.hash]]))).toMatchObject({
      ok: false,
      links: 2,
      broken: { n: 3, kind: "missing" },
    });
    expect(await verify([], new Map([[4, rows[3]!.hash]]))).toMatchObject({ ok: false, broken: { n: 1 } });
  });

  it("is never whole after any one value of it was changed, or any link but the last removed, doubled or moved", async () => {
    const rows = chain(6);
    const column = fc.constantFrom("hash" as const, ...hashedColumns);
    await checkAsyncProperty(
      fc.asyncProperty(
        fc.nat(5),
        fc.nat(5),
        column,
        fc.constantFrom("value", "removed", "doubled", "moved"),
        fc.nat(1000),
        async (at, to, name, how, salt) => {
          const touched = structuredClone(rows) as { [K in keyof ConsentLogRow]: unknown }[];
          if (how === "value") touched[at]![name] = differs(touched[at]![name], salt);
          if (how === "removed") touched.splice(at % 5, 1);
          if (how === "doubled") touched.splice(at, 0, touched[at]!);
          if (how === "moved") {
            fc.pre(at !== to);
            [touched[at]!["n"], touched[to]!["n"]] = [touched[to]!["n"], touched[at]!["n"]];
          }
          const inOrder = (touched as unknown as ConsentLogRow[]).toSorted((a, b) => a.n - b.n);
          expect((await verify(inOrder)).ok).toBe(false);
        },
      ),
    );
  });
});

/** Another value of the same type: one character, or a number, more. */
function differs(value: unknown, salt: number): unknown {
  if (typeof value === "number") return value + 1 + salt;
  if (typeof value === "string") return `${value.slice(0, -1)}${value.endsWith("x") ? "y" : "x"}`;
  return [...(value as string[]), "x"];
}
