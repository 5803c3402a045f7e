import { hourOf, hourText, type ArrivalEntry, type ArrivalOutcome } from "./ledger-entry.ts";

/** Whose arrivals, and what became of them. */
export interface LedgerPage {
  site: string;
  /** Since 1970. */
  hour: number;
  outcome: ArrivalOutcome;
  reason: string;
  process: string;
}

/** The numbers of one page, as they come in. */
export interface Spans {
  add(first: number, last: number): void;
}

/** Gathers arrivals by what became of them until somebody writes them down. */
export interface LedgerBook {
  /** To be added to until the next {@link take}. */
  page(page: LedgerPage): Spans;
  /** All that was added, once. Long ones in several entries, so that none outgrows a record of the log. */
  take(): ArrivalEntry[];
  /** What {@link take} gave and nobody wrote down: it is taken again, joined with what was added since. */
  putBack(entries: readonly ArrivalEntry[]): void;
}

/** Sorts spans in place and makes one of those that touch. */
function join(first: number[], last: number[]): void {
  const spans = first.map((from, index) => [from, last[index]!] as const).toSorted(([a], [b]) => a - b);
  first.length = last.length = 0;
  for (const [from, to] of spans) {
    const end = last.at(-1);
    if (end !== undefined && from <= end + 1) last[last.length - 1] = Math.max(end, to);
    else {
      first.push(from);
      last.push(to);
    }
  }
}

const maxSpansPerEntry = 20_000;

export function createLedgerBook(): LedgerBook {
  let pages = new Map<string, { page: LedgerPage; first: number[]; last: number[]; spans: Spans }>();
  const find = (page: LedgerPage): { first: number[]; last: number[]; spans: Spans } => {
    const key = `${page.site} ${page.hour} ${page.outcome} ${page.reason} ${page.process}`;
    let found = pages.get(key);
    if (found === undefined) {
      const first: number[] = [];
      const last: number[] = [];
      const add = (from: number, to: number): void => {
        // Arrivals come mostly in order, so most of them make the last span longer.
        if (first.length > 0 && last.at(-1) === from - 1) last[last.length - 1] = to;
        else {
          first.push(from);
          last.push(to);
        }
      };
      pages.set(key, (found = { page, first, last, spans: { add } }));
    }
    return found;
  };
  return {
    page: (page) => find(page).spans,
    take() {
      const entries: ArrivalEntry[] = [];
      for (const { page, first, last } of pages.values()) {
        const { site, outcome, reason, process } = page;
        for (let at = 0; at < first.length; at += maxSpansPerEntry) {
          const end = at + maxSpansPerEntry;
          entries.push({
            site,
            hour: hourText(page.hour),
            outcome,
            reason,
            process,
            first: first.slice(at, end),
            last: last.slice(at, end),
            counted: 0,
          });
        }
      }
      pages = new Map();
      return entries;
    },
    putBack(entries) {
      const touched = new Set<{ first: number[]; last: number[] }>();
      for (const { site, hour, outcome, reason, process, first, last } of entries) {
        const found = find({ site, hour: hourOf(hour), outcome, reason, process });
        for (const from of first) found.first.push(from);
        for (const to of last) found.last.push(to);
        touched.add(found);
      }
      for (const { first, last } of touched) join(first, last);
    },
  };
}
