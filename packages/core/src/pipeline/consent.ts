import {
  choiceTimesOf,
  consentOf,
  gpcTimesOf,
  hasPurpose,
  joinChoices,
  maskOf,
  permittedPurposes,
  tighterRegime,
  underCurrentTexts,
} from "@polder/protocol";
import type {
  ChoiceAct,
  ChoiceTimes,
  ConsentStamp,
  PolderEvent,
  PurposeMask,
  RecordedChoice,
  Regime,
} from "@polder/protocol";
import type { ConsentLedger } from "../ports/consent-ledger.ts";
import { countOnlyBasis, countOnlyMask, hasRefusedMeasurement, pageViewOfNobody } from "./count-only.ts";
import { narrowByRecord, namesUserAlone, previousVisitorsOf, recordedChoice, visitorOf } from "./consent-narrow.ts";
import { recordOfChoice } from "./choice-event.ts";
import type { Draft, Repair, RequestContext, Step, Stop } from "./step.ts";
import { parseTime } from "./time-text.ts";
import { regimeIn, type VisitorPlace } from "./visitor-place.ts";

const necessary = maskOf(["necessary"]);
const ads = maskOf(["ads"]);

const noConsent: Stop = {
  stop: "dropped",
  reason: "no_consent",
  detail: "The event carries no consent for measurement or profile, so nothing of it was kept.",
};
const otherText: Stop = {
  ...noConsent,
  detail:
    "The consent was given to another text than the site's of today, so nothing of it was kept. Paste the texts that `polder tag` prints into the page: visitors are asked again.",
};
const noProfileConsent: Stop = {
  stop: "dropped",
  reason: "no_profile_consent",
  detail: "identify, alias and group need consent for profile, so nothing of this one was kept.",
};
const consentWithdrawn: Stop = {
  stop: "dropped",
  reason: "consent_withdrawn",
  detail: "The visitor's recorded choice does not allow what the event claims, so nothing of it was kept.",
};
const choiceOfUser: Stop = {
  stop: "rejected",
  reason: "missing_id",
  detail:
    "With a write key a choice needs the `anonymousId` of its device, in the event or in our cookie: a `userId` alone can be anybody's guess. Send `anonymousId`, or the choice from a server with a server key.",
};

export interface ConsentStepDeps {
  ledger: Pick<ConsentLedger, "latest" | "timesOf">;
  /** Asked where a site has regimes by country. */
  placeOf: (event: PolderEvent, context: RequestContext) => VisitorPlace;
  onRepair: (repair: Repair) => void;
}

/**
 * What the event may be used for: what it carries, narrowed by what is recorded of its visitor. Nothing known means no. Without `profile` the event
 * loses what tells one visitor from another; the record of a choice is kept whatever was chosen, and one that takes a profile back keeps its id, or it
 * could not be carried out. Where the site counts before a choice, what is left of a page view without one is made in `count-only.ts`.
 */
export function createConsentStep({ ledger, placeOf, onRepair }: ConsentStepDeps): Step {
  const stampOf = createStampReader();
  const maskUnder = createMaskReader();
  const recordedOf = createRecordReader(ledger);
  const momentOf = createMomentReader();

  /** Leaves a choice to be recorded; what comes later in the request is judged by it already. */
  function choose(visitor: string, times: ChoiceTimes, context: RequestContext): void {
    const known = context.choices.findLast((choice) => choice.visitor === visitor)?.times ?? ledger.timesOf(visitor);
    context.choices.push({ visitor, times: known === undefined ? times : joinChoices(known, times) });
  }

  /** Nothing of it may be kept for want of consent; but a page view may be counted as nobody's, where the site says so. */
  function countOrStop(draft: Draft, context: RequestContext): Draft | Stop {
    const counted = pageViewOfNobody(draft.event, context);
    if (counted === undefined) return isOfOtherText(draft, context) ? otherText : noConsent;
    if (hasRefusedMeasurement(draft.event, context, ledger)) return consentWithdrawn;
    draft.event = counted;
    const { row } = draft;
    row.origin = "observed";
    row.basis = countOnlyBasis;
    row.consent_mask = countOnlyMask;
    return draft;
  }

  return {
    name: "consent",
    run(draft, context) {
      const { event, row } = draft;
      const { key } = context;
      const { site, basis } = key;
      const stamp = stampOf(event);
      draft.stamp = stamp;
      const regime = site.regimes.size === 0 ? site.regime : regimeIn(site, placeOf(event, context).country);
      row.regime = stamp?.regime === undefined ? regime : tighterRegime(regime, stamp.regime);

      const byKey = stamp === undefined ? basis : undefined;
      row.basis = byKey?.basis ?? (row.regime === "opt_in" ? "consent" : row.regime);
      const claimed = byKey === undefined ? maskUnder(stamp, regime, context) : maskOf(byKey.purposes);
      const own = context.gpc ? claimed & ~ads : claimed;
      row.consent_mask = own;

      const isChoice = event.type === "consent";
      if (isChoice && key.kind === "write" && namesUserAlone(event, context)) return choiceOfUser;
      const visitor = isChoice || own > necessary ? visitorOf(event, context) : "";
      const rules = {
        basis: byKey,
        regime: row.regime,
        now: context.receivedAt,
        grantLifetimeMs: site.grantLifetimeMs,
      };
      if (visitor !== "") {
        if (isChoice) choose(visitor, choiceIn(draft, momentOf(draft, visitor, context), context), context);
        const recorded = recordedOf(visitor, context);
        row.consent_mask = narrowByRecord(own, recorded, rules);
        // Global Privacy Control is a choice as well: taking it back later is no yes. Recorded once, and only of visitors who may be known.
        const takesAds = own !== claimed && ((recorded?.refused ?? 0) & ads) === 0;
        if (takesAds && !isChoice && hasPurpose(row.consent_mask, "profile"))
          choose(visitor, gpcTimesOf(momentOf(draft, visitor, context)), context);
      }

      // What joins two ids needs a yes, or no word, of both.
      for (const previous of previousVisitorsOf(event, context))
        row.consent_mask = narrowByRecord(row.consent_mask, recordedChoice(previous, context, ledger), rules);

      if (isChoice) {
        draft.mayIdentify = hasPurpose(row.consent_mask, "profile") || takesProfileBack(stamp, row.regime);
        draft.event = recordOfChoice(event, hasPurpose(row.consent_mask, "measurement"));
        row.consent_id = stamp?.id ?? "";
        return draft;
      }
      draft.mayIdentify = hasPurpose(row.consent_mask, "profile");
      const stop = stopOf(event, row.consent_mask);
      if (stop !== undefined) {
        if (stopOf(event, own) === undefined) return consentWithdrawn;
        return stop === noConsent ? countOrStop(draft, context) : stop;
      }
      if (row.consent_mask !== own) onRepair("consent_narrowed");
      // Nor the id of the choice without a profile: it is the same on all events under it, and would tie them together.
      if (draft.mayIdentify) row.consent_id = stamp?.id ?? "";
      return draft;
    },
  };
}

/** Whether a profile could have been allowed before and no longer is, so that what there is of it has to go. */
function takesProfileBack(stamp: ConsentStamp | undefined, regime: Regime): boolean {
  const state = stamp?.purposes.profile;
  if (state === "withdrawn") return true;
  // Where nobody was asked, a no is not the first that was said.
  return regime !== "opt_in" && (state === "denied" || state === "opted_out");
}

function isOfOtherText({ stamp }: Draft, { key }: RequestContext): boolean {
  return stamp !== undefined && underCurrentTexts(stamp, key.site.currentTexts) !== stamp;
}

function stopOf({ type }: PolderEvent, mask: PurposeMask): Stop | undefined {
  if (hasPurpose(mask, "profile")) return undefined;
  if (!hasPurpose(mask, "measurement")) return noConsent;
  return type === "identify" || type === "alias" || type === "group" ? noProfileConsent : undefined;
}

type Moment = Pick<ChoiceAct, "recordedAt" | "sentAt" | "receivedAt">;

function choiceIn({ stamp, row }: Draft, moment: Moment, { key, gpc }: RequestContext): ChoiceTimes {
  const { grantLifetimeMs, currentTexts } = key.site;
  const counted = stamp && underCurrentTexts(stamp, currentTexts);
  return choiceTimesOf({ stamp: counted, regime: row.regime, gpc, grantLifetimeMs, ...moment });
}

/**
 * When a choice was made. Choices of one moment that came in one request and differ were made in its order: a millisecond tells them apart. Copies of
 * one choice are of its moment, however many: they must not overtake a later one.
 */
function createMomentReader(): (draft: Draft, visitor: string, context: RequestContext) => Moment {
  let lastVisitor = "";
  let lastContext: RequestContext | undefined;
  let lastAt = Number.NaN;
  let lastSaid = "";
  let ties = 0;
  return ({ event, stamp }, visitor, context) => {
    const { key, receivedAt } = context;
    const said = event.type === "consent" ? JSON.stringify([stamp?.purposes, stamp?.texts, stamp?.gpc]) : "";
    const at = parseTime(event.timestamp) ?? parseTime(stamp?.at) ?? Number.NaN;
    const isSameMoment = at === lastAt && visitor === lastVisitor && context === lastContext;
    ties = isSameMoment ? ties + (said === lastSaid ? 0 : 1) : 0;
    lastVisitor = visitor;
    lastContext = context;
    lastAt = at;
    lastSaid = said;
    // A server knows the time, also that of a choice which it imports long after.
    const sentAt = parseTime(event.sentAt ?? context.sentAt) ?? (key.kind === "server" ? receivedAt : undefined);
    return { recordedAt: at + ties, sentAt, receivedAt };
  };
}

/** The events of a request mostly share one choice, as one object: it is read once. */
function createStampReader(): (event: PolderEvent) => ConsentStamp | undefined {
  let lastConsent: unknown;
  let lastManagement: unknown;
  let lastStamp: ConsentStamp | undefined;
  return ({ context, timestamp }) => {
    const consent = context?.consent;
    const management = context?.["consentManagement"];
    // Only our own form reads the same whatever the time of the event.
    if (consent !== undefined && consent === lastConsent && management === lastManagement) return lastStamp;
    const stamp = consentOf(context, timestamp);
    if (stamp !== undefined && isOwnForm(consent)) {
      lastConsent = consent;
      lastManagement = management;
      lastStamp = stamp;
    }
    return stamp;
  };
}

/** … judged once, … */
function createMaskReader(): (stamp: ConsentStamp | undefined, regime: Regime, context: RequestContext) => PurposeMask {
  let lastStamp: ConsentStamp | undefined;
  let lastRegime: Regime | undefined;
  let lastContext: RequestContext | undefined;
  let lastMask: PurposeMask = 0;
  return (stamp, regime, context) => {
    if (stamp !== lastStamp || regime !== lastRegime || context !== lastContext) {
      lastStamp = stamp;
      lastRegime = regime;
      lastContext = context;
      const { grantLifetimeMs, currentTexts } = context.key.site;
      const counted = stamp && underCurrentTexts(stamp, currentTexts);
      // Without the header, so that it is seen what the header takes away.
      lastMask = permittedPurposes({ stamp: counted, regime, gpc: false, now: context.receivedAt, grantLifetimeMs });
    }
    return lastMask;
  };
}

/** … and come from one visitor, who is looked up once. */
function createRecordReader(
  ledger: ConsentStepDeps["ledger"],
): (visitor: string, context: RequestContext) => RecordedChoice | undefined {
  let lastVisitor = "";
  let lastContext: RequestContext | undefined;
  let lastChoices = 0;
  let last: RecordedChoice | undefined;
  return (visitor, context) => {
    if (visitor !== lastVisitor || context !== lastContext || context.choices.length !== lastChoices) {
      lastVisitor = visitor;
      lastContext = context;
      lastChoices = context.choices.length;
      last = recordedChoice(visitor, context, ledger);
    }
    return last;
  };
}

const isOwnForm = (consent: unknown): boolean => typeof consent === "object" && consent !== null && "v" in consent;
