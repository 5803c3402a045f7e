import { createRandom } from "./random.ts";

export type FaultKind = "kill" | "freeze" | "jump" | "cut" | "slow";

/** What can be done to a part, and how often against the others. */
export interface Target {
  name: string;
  faults: readonly { kind: FaultKind; weight: number; minMs: number; maxMs: number }[];
  /** Its memory is looked at over time: it is not killed in the last part of a run. */
  isMeasured: boolean;
}

export interface PlannedFault {
  /** Since the start of the run. */
  atMs: number;
  kind: FaultKind;
  target: string;
  /** kill: until it is started again. freeze: until it goes on. cut: for how long connections are cut. slow: for how long its disk is slow. jump: by how much its clock is off from then on. */
  ms: number;
  /** A kill that comes when it comes, be it into a start. The others wait until events were accepted after the kill before. */
  isEarly: boolean;
}

const earlyShare = 0.25;

/**
 * First a kill of everything that can be killed, spread over a short run or the beginning of a long one; beside and behind them a deck of all that
 * can be done, shuffled anew when it is empty.
 */
export function planFaults(options: {
  seed: number;
  durationMs: number;
  targets: readonly Target[];
  /** Between one fault and the next, on average. */
  everyMs: number;
  /** From then on nothing is killed whose memory is measured. */
  measuredFromMs: number;
}): PlannedFault[] {
  const { seed, durationMs, targets, everyMs, measuredFromMs } = options;
  const random = createRandom(seed, "schedule");
  const cards = targets.flatMap(({ name, faults, isMeasured }) =>
    faults.flatMap((fault) => Array.from({ length: fault.weight }, () => ({ ...fault, target: name, isMeasured }))),
  );
  const shuffled = (some: typeof cards): typeof cards =>
    some
      .map((card) => ({ card, at: random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ card }) => card);
  const firstKills = shuffled(
    targets.flatMap(({ name }) => cards.find(({ kind, target }) => kind === "kill" && target === name) ?? []),
  );
  const openingMs = Math.min(durationMs, 3 * everyMs * firstKills.length);
  const planned = firstKills.map(({ kind, target, minMs, maxMs }, index): PlannedFault => {
    const atMs = Math.round(((index + 0.5) / firstKills.length) * openingMs);
    return { atMs, kind, target, ms: random.whole(minMs, maxMs), isEarly: false };
  });
  let deck = shuffled(cards.filter((card) => !firstKills.includes(card)));
  for (let atMs = 1_000; atMs < durationMs; atMs += random.between(0.3, 1.7) * everyMs) {
    if (deck.length === 0) deck = shuffled(cards);
    const { kind, target, minMs, maxMs, isMeasured } = deck.pop()!;
    const ms = random.whole(minMs, maxMs);
    const isEarly = kind === "kill" && random.isIn(earlyShare);
    if (kind === "kill" && isMeasured && atMs > measuredFromMs) continue;
    planned.push({ atMs: Math.round(atMs), kind, target, ms, isEarly });
  }
  return planned.toSorted((a, b) => a.atMs - b.atMs);
}
