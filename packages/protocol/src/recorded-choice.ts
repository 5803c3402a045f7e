import type { ConsentStamp, Regime } from "./event.ts";
import { clockToleranceMs, defaultGrantLifetimeMs, grantedPurposes } from "./permitted.ts";
import { maskOf, purposes, type Purpose, type PurposeMask } from "./purpose.ts";

/** What all recorded choices of a visitor come to. */
export interface RecordedChoice {
  /** Purposes with a yes that is newer than every no. */
  granted: PurposeMask;
  /** Purposes with a no that no newer yes took back. */
  refused: PurposeMask;
  /** When each of these grants was last stated, by our clock, in the order of {@link purposes}: milliseconds since 1970, 0 for none. */
  grantedAt: readonly number[];
}

/**
 * The newest times at which a visitor said yes and said no, for every purpose but `necessary`, in the order of {@link purposes}. Six each, in
 * milliseconds since 1970, 0 for never: the yes that is newest by the visitor's clock, by that clock and by ours; the yes that is newest by our clock,
 * by the same two; and the newest no by either clock.
 */
export type ChoiceTimes = readonly number[];

const timesEach = 6;
const lastYesTheirs = 0;
const lastYesOurs = 2;
const lastNo = 4;

export const choiceTimesLength: number = (purposes.length - 1) * timesEach;

const necessary = maskOf(["necessary"]);
const ads = maskOf(["ads"]);
const all = maskOf(purposes);

/** How long a request may be on its way: by this much our times of one visitor's choices are wrong, while the visitor's clock is right or steadily wrong. */
const latencyToleranceMs = 60_000;

/**
 * What an event may be used for, given what it claims by itself and what is recorded of its visitor: only what both allow. A yes that was never
 * recorded counts for nothing against a no that was, whatever time it claims. Where nothing is recorded, of the visitor or of a purpose, the claim
 * stands: the record may be on its way.
 * @param own as `permittedPurposes` says, by the stamp of the event.
 */
export function stricterOf(
  own: PurposeMask,
  recorded: RecordedChoice | undefined,
  { regime, now, grantLifetimeMs = defaultGrantLifetimeMs }: { regime: Regime; now: number; grantLifetimeMs?: number },
): PurposeMask {
  if (recorded === undefined) return own;
  let refused = recorded.refused;
  if (regime !== "opt_out" && regime !== "notice") {
    for (let bit = 1; bit < purposes.length; bit++) {
      if (recorded.granted & (1 << bit) && now - recorded.grantedAt[bit]! > grantLifetimeMs) refused |= 1 << bit;
    }
  }
  return own & (~refused | necessary);
}

/** What was chosen, and when, as far as that can be known. */
export interface ChoiceAct {
  /** As {@link readConsentStamp} gives it. */
  stamp: ConsentStamp | undefined;
  /** That the choice was made under: where `opt_in` holds, a purpose without a yes is a no. */
  regime: Regime;
  /** Global Privacy Control, as the request said it; the stamp's own counts as well. */
  gpc: boolean;
  /** When the visitor's device recorded it, by its own clock; NaN when unknown. */
  recordedAt: number;
  /** When the device sent it, by its own clock; undefined when unknown. */
  sentAt: number | undefined;
  /** When it came, by our clock. */
  receivedAt: number;
  grantLifetimeMs?: number;
}

/** The times of one choice, to be joined with those of the earlier ones. */
export function choiceTimesOf(act: ChoiceAct): ChoiceTimes {
  const { stamp, regime, gpc, receivedAt } = act;
  // Without a time that can be believed nothing is granted, and a no is as new as can be.
  const isDated = act.recordedAt > 0 && act.recordedAt <= receivedAt + clockToleranceMs;
  const isOptIn = regime !== "opt_out" && regime !== "notice";
  // Where a yes is no condition it does not grow old either.
  const lifetimeMs = isOptIn ? act.grantLifetimeMs : Infinity;
  const granted = isDated ? grantedPurposes(stamp, gpc, receivedAt, lifetimeMs) : 0;
  const refused = isOptIn ? all & ~granted : refusedPurposes(stamp, gpc);
  return timesOf(act, isDated, granted, refused);
}

/** The times of Global Privacy Control seen on an event: a no for `ads`, and nothing about the rest. */
export const gpcTimesOf = (act: Pick<ChoiceAct, "recordedAt" | "sentAt" | "receivedAt">): ChoiceTimes =>
  timesOf(act, act.recordedAt > 0 && act.recordedAt <= act.receivedAt + clockToleranceMs, 0, ads);

function timesOf(
  { recordedAt, sentAt, receivedAt }: Pick<ChoiceAct, "recordedAt" | "sentAt" | "receivedAt">,
  isDated: boolean,
  granted: PurposeMask,
  refused: PurposeMask,
): ChoiceTimes {
  const theirs = isDated ? recordedAt : receivedAt;
  // How wrong the device's clock is cancels out. When that is not known, a yes is as old as it says and a no as new as its arrival.
  const sinceChoice = sentAt === undefined || !isDated ? undefined : Math.max(0, sentAt - recordedAt);
  const ours = (otherwise: number): number =>
    Math.max(1, Math.min(receivedAt, sinceChoice === undefined ? otherwise : receivedAt - sinceChoice));
  const times = Array.from({ length: choiceTimesLength }, () => 0);
  for (let bit = 1; bit < purposes.length; bit++) {
    const at = (bit - 1) * timesEach;
    if (granted & (1 << bit)) {
      for (const yes of [at + lastYesTheirs, at + lastYesOurs]) {
        times[yes] = theirs;
        times[yes + 1] = ours(theirs);
      }
    } else if (refused & (1 << bit)) {
      times[at + lastNo] = theirs;
      times[at + lastNo + 1] = ours(receivedAt);
    }
  }
  return times;
}

function refusedPurposes(stamp: ConsentStamp | undefined, gpc: boolean): PurposeMask {
  const isRefused = (purpose: Purpose): boolean => {
    const state = stamp?.purposes[purpose];
    return state === "denied" || state === "withdrawn" || state === "opted_out";
  };
  return maskOf(purposes.filter(isRefused)) | (gpc || stamp?.gpc === true ? ads : 0);
}

/**
 * What two records of one visitor come to: the newest of each. Whatever the order in which choices arrive, however often and at whichever collector,
 * the result is the same.
 */
export function joinChoices(a: ChoiceTimes, b: ChoiceTimes): ChoiceTimes {
  const joined: number[] = [];
  for (let at = 0; at < choiceTimesLength; at += timesEach) {
    const byTheirs = at + lastYesTheirs;
    const byOurs = at + lastYesOurs;
    const no = at + lastNo;
    // A yes is kept whole: times of two of them together would make one that nobody said.
    const first = compare(a, b, byTheirs, byTheirs + 1) >= 0 ? a : b;
    const second = compare(a, b, byOurs + 1, byOurs) >= 0 ? a : b;
    joined.push(first[byTheirs]!, first[byTheirs + 1]!, second[byOurs]!, second[byOurs + 1]!);
    joined.push(Math.max(a[no]!, b[no]!), Math.max(a[no + 1]!, b[no + 1]!));
  }
  return joined;
}

const compare = (a: ChoiceTimes, b: ChoiceTimes, first: number, second: number): number =>
  a[first]! - b[first]! || a[second]! - b[second]!;

export const isSameTimes = (a: ChoiceTimes, b: ChoiceTimes): boolean => a.every((time, index) => time === b[index]);

/** The newest time by our clock that is in a record. */
export function newestOf(times: ChoiceTimes): number {
  let newest = 0;
  for (let at = 1; at < times.length; at += 2) newest = Math.max(newest, times[at]!);
  return newest;
}

/** Purposes that were refused after `at`, by our clock, whether or not a yes has come since: what came before a no is not for them any more. */
export function refusedAfter(times: ChoiceTimes, at: number): PurposeMask {
  let refused = 0;
  for (let bit = 1; bit < purposes.length; bit++)
    if (times[(bit - 1) * timesEach + lastNo + 1]! > at) refused |= 1 << bit;
  return refused;
}

/**
 * What a record says. A yes counts when it is newer than every no by the visitor's clock, and by ours too if that clock was set between them: it
 * must not undo a withdrawal.
 */
export function recordedChoiceOf(times: ChoiceTimes): RecordedChoice {
  let granted = 0;
  let refused = 0;
  const grantedAt = [0];
  for (let bit = 1; bit < purposes.length; bit++) {
    const at = (bit - 1) * timesEach;
    const no = at + lastNo;
    const grant = Math.max(yesAfter(times, at + lastYesTheirs, no), yesAfter(times, at + lastYesOurs, no));
    grantedAt.push(grant);
    if (grant > 0) granted |= 1 << bit;
    else if (times[no + 1]! > 0) refused |= 1 << bit;
  }
  return { granted, refused, grantedAt };
}

/** When the yes was given by our clock, 0 when the no undoes it. */
function yesAfter(times: ChoiceTimes, yes: number, no: number): number {
  const [theirs, ours] = [times[yes]!, times[yes + 1]!];
  const [noTheirs, noOurs] = [times[no]!, times[no + 1]!];
  const isSteady = Math.abs(theirs - ours - (noTheirs - noOurs)) <= latencyToleranceMs;
  return theirs > noTheirs && (ours > noOurs || isSteady) ? ours : 0;
}
