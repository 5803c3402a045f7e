import type { Polder } from "../create-polder.ts";
import { isTakingOver, takeOver, type PlatformPurposes } from "./platform.ts";

export interface ConsentModeOptions {
  /** Name of the variable that `gtag` writes to. `dataLayer` when absent. */
  dataLayer?: string;
  purposes?: PlatformPurposes<string>;
}

/** The arguments of a call of `gtag`, or whatever else a page puts there. */
type Call = { [part: number]: unknown; 2?: object };

/** A person is more than what Google means by analytics. `functionality_storage` and `security_storage` are no consent to anything here. */
const consentModePurposes: PlatformPurposes<string> = {
  measurement: ["analytics_storage"],
  profile: ["analytics_storage", "personalization_storage"],
  personalisation: ["ad_personalization"],
  prediction: ["analytics_storage", "personalization_storage", "ad_personalization"],
  ads: ["ad_storage", "ad_user_data"],
};

/**
 * Follows the calls `gtag("consent", "update", …)` of Google Consent Mode, those made before us too. A default is not a choice, whatever it
 * says. Nothing tells an update that repeats a choice from one that is a choice, but that the visitor has just done something: after a choice
 * that was made here, something else than that.
 */
export const readConsentMode = (
  polder: Pick<Polder, "consent">,
  { dataLayer = "dataLayer", purposes = consentModePurposes }: ConsentModeOptions = {},
): void => {
  let said: { [name: string]: unknown } = {};
  let hasActed = false;
  for (const type of ["pointerdown", "keydown"]) addEventListener(type, () => (hasActed = true), true);
  polder.consent.onChange(() => (hasActed &&= isTakingOver));
  const follow = (): void => {
    const isAct = hasActed && !!(navigator as { userActivation?: UserActivation }).userActivation?.isActive;
    takeOver(polder, purposes, (name) => said[name] === "granted", { gcm: JSON.stringify(said) }, isAct);
  };
  const look = (call: Call | undefined): void => {
    if (call?.[0] !== "consent" || call[1] !== "update") return;
    said = { ...said, ...call[2] };
    // Platforms say it in pieces.
    queueMicrotask(follow);
  };
  const calls = ((window as unknown as { [name: string]: Call[] })[dataLayer] ??= []);
  calls.forEach(look);
  const { push } = calls;
  calls.push = (...added) => {
    added.forEach(look);
    return push.apply(calls, added);
  };
};
