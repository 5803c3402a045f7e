import type { ConsentStamp, Regime } from "./event.ts";
import { maskOf, purposes, type PurposeMask } from "./purpose.ts";

/** How long a grant holds before the visitor has to be asked again. */
export const defaultGrantLifetimeMs = 365 * 24 * 3_600_000;

/** A choice may come from a clock this much ahead of ours; later ones have no age that can be known. */
export const clockToleranceMs: number = 24 * 3_600_000;

export interface PermitInput {
  /** As {@link readConsentStamp} gives it; undefined: nothing is known. */
  stamp: ConsentStamp | undefined;
  /** Of the site. The stamp's own may tighten it and never loosens it. */
  regime: Regime;
  /** Global Privacy Control, as the request said it; the stamp's own counts as well. */
  gpc: boolean;
  /** Milliseconds since 1970. */
  now: number;
  grantLifetimeMs?: number;
}

/**
 * What an event may be used for: the one rule, the same in the page and in the collector. Nothing known means no; malformed means no.
 * - `opt_in`: what was granted, at a known time that is not longer ago than the lifetime of a grant.
 * - `opt_out` and `notice`: everything that was not denied, withdrawn or opted out of. (`notice` informs; a visitor who objects all the same is heard.)
 * - Global Privacy Control takes `ads` away under every regime. `necessary` is always there.
 */
export function permittedPurposes({ stamp, regime, gpc, now, grantLifetimeMs }: PermitInput): PurposeMask {
  const effective = tighterRegime(regime, stamp?.regime ?? regime);
  return effective === "opt_in" ? grantedPurposes(stamp, gpc, now, grantLifetimeMs) : unrefusedPurposes(stamp, gpc);
}

/** {@link permittedPurposes} under `opt_in`. */
export function grantedPurposes(
  stamp: ConsentStamp | undefined,
  gpc: boolean,
  now: number,
  grantLifetimeMs: number = defaultGrantLifetimeMs,
): PurposeMask {
  const ageMs = now - Date.parse(stamp?.at ?? "");
  const isFresh = ageMs >= -clockToleranceMs && ageMs <= grantLifetimeMs;
  return maskOf(
    purposes.filter((purpose) => {
      if (purpose === "necessary") return true;
      if (purpose === "ads" && (gpc || stamp?.gpc === true)) return false;
      return isFresh && stamp?.purposes[purpose] === "granted";
    }),
  );
}

/** {@link permittedPurposes} under `opt_out` and `notice`. */
export function unrefusedPurposes(stamp: ConsentStamp | undefined, gpc: boolean): PurposeMask {
  return maskOf(
    purposes.filter((purpose) => {
      if (purpose === "necessary") return true;
      if (purpose === "ads" && (gpc || stamp?.gpc === true)) return false;
      const state = stamp?.purposes[purpose];
      return state !== "denied" && state !== "withdrawn" && state !== "opted_out";
    }),
  );
}

/** The stricter of two regimes; one that is neither of the known three counts as `opt_in`. */
export function tighterRegime(a: Regime, b: Regime): Regime {
  const known = (regime: Regime): Regime => (regime === "opt_out" || regime === "notice" ? regime : "opt_in");
  if (known(a) === "opt_in" || known(b) === "opt_in") return "opt_in";
  return a === "opt_out" || b === "opt_out" ? "opt_out" : "notice";
}
