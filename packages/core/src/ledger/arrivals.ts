/**
 * An **arrival** is one event as one request brought it: a client's retry of the same message is another arrival, a copy that our own spool made of
 * a record is the same one. Counting arrivals as sets, not as sums, is what makes the loss ledger exact: whoever states one again changes nothing.
 *
 * As text, in the header of a record: `<process>.<hour>.<number>`, the last two in base 36.
 */
export interface Arrival {
  /** Of the collector: a random id of one run of it. Numbers are unique within a process and an hour. */
  process: string;
  /** Hours since 1970 in UTC, of the time of receipt. */
  hour: number;
  number: number;
}

/** Consecutive numbers, the first of which is `first`. */
export interface ArrivalBlock {
  hour: number;
  first: number;
  count: number;
  /** Before the number in base 36: {@link arrivalText}. */
  prefix: string;
}

export const hourMs = 3_600_000;

/** Gives out numbers from 0, for each hour its own. Hours are never forgotten: a clock that jumps back must not give a number twice. */
export function createArrivals(process: string): (receivedAt: number, count: number) => ArrivalBlock {
  const hours = new Map<number, { next: number; prefix: string }>();
  return (receivedAt, count) => {
    const hour = Math.floor(receivedAt / hourMs);
    let counter = hours.get(hour);
    if (counter === undefined) hours.set(hour, (counter = { next: 0, prefix: `${process}.${hour.toString(36)}.` }));
    const first = counter.next;
    counter.next += count;
    return { hour, first, count, prefix: counter.prefix };
  };
}

export const arrivalText = ({ prefix, first }: ArrivalBlock, index: number): string =>
  prefix + (first + index).toString(36);

/** Undefined when the text is not one of ours. */
export function parseArrival(text: string): Arrival | undefined {
  const [, process, hour, number] = /^([\w-]+)\.([0-9a-z]{1,7})\.([0-9a-z]{1,7})$/.exec(text) ?? [];
  if (process === undefined) return undefined;
  const found = { process, hour: Number.parseInt(hour!, 36), number: Number.parseInt(number!, 36) };
  return found.number < 2 ** 32 && found.hour < 2 ** 32 / 3600 ? found : undefined;
}
