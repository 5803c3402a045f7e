import type { Site } from "../ports/site-directory.ts";

/** A row of `consent_setting`, but for its site, its number and since when. */
export interface ConsentSetting {
  before_choice: string;
  reason: string;
  /** By country, `default` for all others. */
  regimes: { readonly [place: string]: string };
  grant_days: number;
  refusal_days: number;
}

type Source = Pick<Site, "beforeChoice" | "regime" | "regimes" | "grantLifetimeMs" | "refusalLifetimeMs">;

const dayMs = 24 * 3_600_000;

/** What holds for a site without a choice, why, and for how long one holds: what its owner has to be able to show later. */
export const consentSettingOf = ({
  beforeChoice,
  regime,
  regimes,
  grantLifetimeMs,
  refusalLifetimeMs,
}: Source): ConsentSetting => ({
  before_choice: beforeChoice.mode,
  reason: beforeChoice.reason ?? "",
  regimes: Object.fromEntries([["default", regime] as const, ...regimes].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  grant_days: grantLifetimeMs / dayMs,
  refusal_days: refusalLifetimeMs / dayMs,
});
