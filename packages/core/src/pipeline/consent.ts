import { consentOf, hasPurpose, maskOf, permittedPurposes, tighterRegime } from "@polder/protocol";
import type { ConsentStamp, PolderEvent, PurposeMask } from "@polder/protocol";
import type { RequestContext, Step, Stop } from "./step.ts";

const ads = maskOf(["ads"]);

const noConsent: Stop = {
  stop: "dropped",
  reason: "no_consent",
  detail: "The event carries no consent for measurement or profile, so nothing of it was kept.",
};
const noProfileConsent: Stop = {
  stop: "dropped",
  reason: "no_profile_consent",
  detail: "identify, alias and group need consent for profile, so nothing of this one was kept.",
};

/**
 * What the event may be used for. Nothing known means no. Without `profile` the event loses what tells one visitor from another;
 * the record of a choice is kept whatever was chosen, and a withdrawal keeps its id, or it could not be carried out.
 */
export function createConsentStep(): Step {
  // The events of a request mostly share one choice, as one object: it is read and judged once.
  let lastConsent: unknown;
  let lastStamp: ConsentStamp | undefined;
  const stampOf = ({ context, timestamp }: PolderEvent): ConsentStamp | undefined => {
    const consent = context?.consent;
    // Only our own form reads the same whatever the time of the event.
    if (consent !== undefined && consent === lastConsent) return lastStamp;
    const stamp = consentOf(context, timestamp);
    if (stamp !== undefined && isOwnForm(consent)) {
      lastConsent = consent;
      lastStamp = stamp;
    }
    return stamp;
  };

  let judgedStamp: ConsentStamp | undefined;
  let judgedContext: RequestContext | undefined;
  let judgedMask: PurposeMask = 0;
  const maskUnder = (stamp: ConsentStamp | undefined, context: RequestContext): PurposeMask => {
    if (stamp !== judgedStamp || context !== judgedContext) {
      judgedStamp = stamp;
      judgedContext = context;
      const { key, gpc, receivedAt } = context;
      judgedMask = permittedPurposes({ stamp, regime: key.site.regime, gpc, now: receivedAt });
    }
    return judgedMask;
  };

  return {
    name: "consent",
    run(draft, context) {
      const { event, row } = draft;
      const { key } = context;
      const stamp = stampOf(event);
      draft.stamp = stamp;
      row.regime = stamp?.regime === undefined ? key.site.regime : tighterRegime(key.site.regime, stamp.regime);

      if (stamp === undefined && key.basis !== undefined) {
        const mask = maskOf(key.basis.purposes);
        row.consent_mask = context.gpc ? mask & ~ads : mask;
        row.basis = key.basis.basis;
      } else {
        row.consent_mask = maskUnder(stamp, context);
        row.basis = row.regime === "opt_in" ? "consent" : row.regime;
      }

      draft.mayIdentify = hasPurpose(row.consent_mask, "profile");
      if (event.type === "consent") {
        if (stamp?.purposes.profile === "withdrawn") draft.mayIdentify = true;
        row.consent_id = stamp?.id ?? "";
        return draft;
      }
      if (draft.mayIdentify) {
        row.consent_id = stamp?.id ?? "";
        return draft;
      }
      // Nor the id of the choice: it is the same on all events under it, and would tie them together.
      if (!hasPurpose(row.consent_mask, "measurement")) return noConsent;
      return event.type === "identify" || event.type === "alias" || event.type === "group" ? noProfileConsent : draft;
    },
  };
}

const isOwnForm = (consent: unknown): boolean => typeof consent === "object" && consent !== null && "v" in consent;
