import {
  createLedgerBook,
  hourMs,
  parseArrival,
  type Arrival,
  type ArrivalOutcome,
  type LedgerBook,
  type Spans,
  type StoredRecord,
} from "@polder/core";

/** What became of the records of a range. */
export interface Settled {
  topic: string;
  partition: number;
  /** For a record without an arrival whose row has no time either. */
  now: () => Date;
  stored?: readonly StoredRecord[];
  duplicate?: readonly StoredRecord[];
  /** Refused by ClickHouse. */
  refused?: readonly StoredRecord[];
  /** Of people who were erased after it had happened: nothing of them is kept. */
  erased?: readonly StoredRecord[];
  /** What collectors rejected: their rows say why. */
  rejected?: readonly StoredRecord[];
}

/**
 * The entries of the loss ledger for a range, as JSONEachRow; undefined when there is none. They follow from the records and what became of them alone,
 * so a range that is loaded again, in whatever pieces, states nothing new.
 */
export function settle(settled: Settled): Uint8Array | undefined {
  const book = createLedgerBook();
  const add = createAdder(book, settled);
  for (const record of settled.stored ?? []) add(record, "stored", "");
  for (const record of settled.duplicate ?? []) add(record, "duplicate", "");
  for (const record of settled.refused ?? []) add(record, "rejected", "refused_by_store");
  for (const record of settled.erased ?? []) add(record, "dropped", "erased");
  for (const record of settled.rejected ?? []) add(record, "rejected", reasonOf(record));
  const entries = book.take();
  return entries.length === 0 ? undefined : Buffer.from(entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
}

function createAdder(
  book: LedgerBook,
  place: Pick<Settled, "topic" | "partition" | "now">,
): (record: StoredRecord, outcome: ArrivalOutcome, reason: string) => void {
  // Records of one collector and hour come one after the other, so nearly all of them go where the last one went.
  let last = { site: "", prefix: "-", outcome: "" as ArrivalOutcome | "", reason: "" };
  let spans: Spans = { add() {} };
  return (record, outcome, reason) => {
    const { site, arrival: text = "" } = record.headers;
    if (site === last.site && outcome === last.outcome && reason === last.reason && text.startsWith(last.prefix)) {
      const number = numberAfter(text, last.prefix.length);
      if (number >= 0) return spans.add(number, number);
    }
    const known = parseArrival(text);
    const { process, hour, number } = known ?? arrivalOfPlace(record, place);
    spans = book.page({ site, hour, outcome, reason, process });
    spans.add(number, number);
    last = { site, outcome, reason, prefix: known === undefined ? "-" : text.slice(0, text.lastIndexOf(".") + 1) };
  };
}

/** The number in base 36 that the text ends with; -1 when it is none of a few digits. Cheaper than the same by `slice` and `parseInt`. */
function numberAfter(text: string, at: number): number {
  if (text.length === at || text.length > at + 6) return -1;
  let number = 0;
  for (let index = at; index < text.length; index++) {
    const code = text.charCodeAt(index);
    const digit = code <= 57 ? code - 48 : code - 87;
    if (digit < 0 || digit > 35 || (code > 57 && digit < 10)) return -1;
    number = number * 36 + digit;
  }
  return number;
}

/** Of a record that no collector numbered: an older version wrote it, or somebody else did. Its place in the log is as good a name. */
function arrivalOfPlace(
  record: StoredRecord,
  { topic, partition, now }: Pick<Settled, "topic" | "partition" | "now">,
): Arrival {
  const text = rowOf(record)["received_at"];
  const receivedAt = typeof text === "string" ? Date.parse(`${text.replace(" ", "T")}Z`) : Number.NaN;
  return {
    process: `${topic}/${partition}/${Math.floor(record.offset / 2 ** 32)}`,
    hour: Math.floor((Number.isNaN(receivedAt) ? now().getTime() : receivedAt) / hourMs),
    number: record.offset % 2 ** 32,
  };
}

function reasonOf(record: StoredRecord): string {
  const { reason } = rowOf(record);
  return typeof reason === "string" ? reason : "";
}

/** Nothing when it cannot be read: what was refused may be anything. */
function rowOf(record: StoredRecord): { readonly [column: string]: unknown } {
  try {
    const row: unknown = JSON.parse(Buffer.from(record.value).toString());
    return typeof row === "object" && row !== null ? (row as { [column: string]: unknown }) : {};
  } catch {
    return {};
  }
}
