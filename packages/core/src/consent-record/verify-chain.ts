import { hashOf, type ConsentLogRow } from "./consent-log-row.ts";

/** The first place where a chain is not what it was when it was written. */
export interface BrokenLink {
  site: string;
  n: number;
  kind: "missing" | "repeated" | "reordered" | "changed";
  /** What differs, a sentence. */
  detail: string;
}

export type ChainResult =
  | { ok: true; links: number; head: string }
  /** `links` before it are in order. */
  | { ok: false; links: number; broken: BrokenLink };

/**
 * Walks the rows of one site in ascending `n`. A chain proves that nothing in it was changed since its last hash became known to somebody else;
 * that its newest rows were cut off, or that all of it was written anew, shows only when a hash noted earlier is passed as `noted`.
 */
export async function verifyChain(
  rows: AsyncIterable<ConsentLogRow>,
  noted: ReadonlyMap<number, string> = new Map(),
): Promise<ChainResult> {
  let before: ConsentLogRow | undefined;
  let doubted: { row: ConsentLogRow; before: ConsentLogRow | undefined } | undefined;
  let links = 0;
  for await (const row of rows) {
    // What follows tells in which way a row was touched.
    if (doubted !== undefined) return { ok: false, links, broken: explain(doubted.row, doubted.before, row) };
    if (isLink(row, before)) {
      const expected = noted.get(row.n);
      if (expected !== undefined && expected !== row.hash) return { ok: false, links, broken: replaced(row, expected) };
      links += 1;
      before = row;
    } else {
      doubted = { row, before };
    }
  }
  if (doubted !== undefined) return { ok: false, links, broken: explain(doubted.row, doubted.before, undefined) };
  const lost = [...noted.keys()].filter((n) => n > (before?.n ?? 0)).toSorted((a, b) => a - b)[0];
  if (lost !== undefined) {
    const detail = `The chain ends at ${before?.n ?? 0}, and it once had a record ${lost}: its newest records are gone.`;
    return { ok: false, links, broken: { site: before?.site ?? "", n: (before?.n ?? 0) + 1, kind: "missing", detail } };
  }
  return { ok: true, links, head: before?.hash ?? "" };
}

const isLink = (row: ConsentLogRow, before: ConsentLogRow | undefined): boolean =>
  row.n === (before?.n ?? 0) + 1 && row.previous_hash === (before?.hash ?? "") && row.hash === hashOf(row);

function explain(row: ConsentLogRow, before: ConsentLogRow | undefined, next: ConsentLogRow | undefined): BrokenLink {
  const { site, n } = row;
  const due = (before?.n ?? 0) + 1;
  const broken = (kind: BrokenLink["kind"], detail: string, at = n): BrokenLink => ({ site, n: at, kind, detail });
  if (n < due) return broken("repeated", `There is more than one record ${n}.`);
  if (n > due) {
    const gap = n === due + 1 ? `Record ${due} is` : `Records ${due} to ${n - 1} are`;
    return broken("missing", `${gap} not there: after ${due - 1} comes ${n}.`, due);
  }
  const linked = before?.hash ?? "";
  if (next !== undefined && row.previous_hash === next.hash) {
    return broken(
      "reordered",
      `Records ${n} and ${next.n} have changed places: ${n} says that ${next.n} comes before it.`,
    );
  }
  if (row.previous_hash !== linked) {
    return row.hash === hashOf({ ...row, previous_hash: linked })
      ? broken("changed", `previous_hash of ${n} is not the hash of ${n - 1}; the rest of ${n} is as it was written.`)
      : broken(
          "reordered",
          `${n} was not written after the record ${n - 1} that is there now: its previous_hash names another.`,
        );
  }
  return next !== undefined && next.previous_hash === hashOf(row)
    ? broken("changed", `hash of ${n} was changed; the rest of ${n} is as it was written.`)
    : broken("changed", `What record ${n} says and its hash do not agree: one of its columns was changed.`);
}

const replaced = ({ site, n, hash }: ConsentLogRow, expected: string): BrokenLink => ({
  site,
  n,
  kind: "changed",
  detail: `Record ${n} has the hash ${hash}, and the one noted for it is ${expected}: the chain was written anew up to it.`,
});
