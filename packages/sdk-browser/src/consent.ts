import {
  choiceCookieName,
  decodeChoice,
  encodeChoice,
  grantedPurposes,
  hasPurpose,
  maskOf,
  purposes,
  type ConsentStamp,
  type ConsentState,
  type LooserRegime,
  type Purpose,
  type PurposeMask,
  type StoredChoice,
} from "@polder/protocol";
import { recall, removeCookie, writeCookie, writeLocal } from "./device-storage.ts";
import { leastRefusalDays, maxGrantDays, refusalPeriodDays } from "./limits.ts";
import { randomId } from "./random-id.ts";
import type { RegimeFinder } from "./regime.ts";

export type Choice = "all" | "none" | { [P in Purpose]?: boolean };
export type Notice = NonNullable<ConsentStamp["notice"]>;

/** What is recorded of a choice, beside the choice. */
export interface ChoiceDetails {
  /** Which text the visitor saw. */
  notice?: Notice;
  /** For each purpose the hash of its text, as in the stamp of an event. */
  texts?: NonNullable<ConsentStamp["texts"]>;
  /** What a consent platform said, word for word, by its name: `{ tcf: "CQ…" }`. */
  raw?: { [platform: string]: string };
  /** It is a no to what it does not name, and a yes to nothing: where there is no choice and none is asked for first, there is none after it. */
  isObjection?: boolean;
}

export interface ConsentStatus {
  /** `unset`: never asked, or asked too long ago: show the banner, unless there is a `regime`. */
  status: "unset" | "granted" | "denied";
  /**
   * Of a visitor without a choice: that none has to be made first, and `purposes` are what was not objected to; or `asked`, while it is awaited
   * what the collector says. Absent: `opt_in`.
   */
  regime?: LooserRegime | "asked";
  /** What may be done now; Global Privacy Control has been applied. */
  purposes: { [P in Purpose]: boolean };
  /** When the last choice was made, ISO 8601; of a refusal the start of its 30 days. Also when it has grown too old. */
  at?: string;
  /** Which text each purpose was agreed to, where that is known: its hash, or the beginning of it. */
  texts?: { [P in Purpose]?: string };
  gpc: boolean;
}

/** A choice, and what follows from it. The same object as long as the same choice holds. */
export interface Decision {
  /** As it is kept on the device. */
  text: string;
  status: ConsentStatus["status"];
  /** What is permitted, `necessary` aside. */
  mask: PurposeMask;
  /** Whether events may say who the visitor is. */
  isPerson: boolean;
  /** What events carry. */
  stamp: ConsentStamp;
  /** When it will mean less, milliseconds since 1970. */
  until: number;
}

const asked = purposes.slice(1);

/** The options of a page that it is about, as numbers or as the text of an attribute. */
export interface ConsentOptions {
  cookieDomain?: string | undefined;
  grantDays?: number | string | undefined;
  refusalDays?: number | string | undefined;
}

export const createConsent = (
  gpc: boolean,
  { cookieDomain = "", grantDays, refusalDays }: ConsentOptions = {},
  findRegime?: RegimeFinder,
) => {
  const grantMs = (Math.max(1, Math.min(parseFloat(grantDays as string), maxGrantDays)) || maxGrantDays) * 86_400_000;
  const refusalMs = (Math.max(+refusalDays! || 0, leastRefusalDays) + refusalPeriodDays) * 86_400_000;

  const decide = (text: string, choice = decodeChoice(text), details: ChoiceDetails = {}, before = 0): Decision => {
    const { mask: chosen = 0, at = 0, consentId: id = "", texts }: Partial<StoredChoice> = choice ?? {};
    const end = at + (chosen ? grantMs : refusalMs);
    const isOver = Date.now() > end;
    const stateOf = (purpose: Purpose): ConsentState =>
      hasPurpose(chosen, purpose) ? "granted" : hasPurpose(before, purpose) ? "withdrawn" : "denied";
    const stamp = {
      v: 1,
      id,
      purposes: Object.fromEntries(asked.map((purpose) => [purpose, stateOf(purpose)])),
      at: choice && new Date(at).toISOString(),
      gpc,
      notice: details.notice,
      texts,
    } as ConsentStamp;
    const mask = grantedPurposes(stamp, gpc, Date.now(), grantMs) & ~1;
    const decision: Decision = {
      text,
      stamp,
      mask,
      isPerson: hasPurpose(mask, "profile"),
      status: mask ? "granted" : choice && !chosen && !isOver ? "denied" : "unset",
      until: isOver ? Infinity : end,
    };
    findRegime?.judge(decision, details);
    return decision;
  };

  let last = decide("");
  /** Read from the device every time: another tab may have made a choice. */
  const current = (): Decision => {
    const text = recall(choiceCookieName);
    if (text !== last.text || Date.now() > last.until) {
      last = decide(text);
      // Where the cookie goes first, its mirror must not know an older choice.
      writeLocal(choiceCookieName, text);
      const choice = decodeChoice(text);
      // The signal outlasts itself: once it is off again, what it took is not back.
      if (gpc && choice && hasPurpose(choice.mask, "ads")) {
        keep(decide(encodeChoice({ ...choice, mask: choice.mask & ~maskOf(["ads"]) })));
      }
    }
    return last;
  };

  /** Keeps the choice on the device: the grant, or the constant of a refusal. */
  const keep = (decision: Decision): void => {
    last = decision;
    writeLocal(choiceCookieName, last.text);
    // One for another domain, as from before the setting was changed, might be read first.
    removeCookie(choiceCookieName);
    writeCookie(choiceCookieName, last.text, cookieDomain);
  };

  return {
    current,
    decide,
    keep,
    /** What the choice would mean; nothing is kept yet. Its stamp tells what is withdrawn. */
    weigh(choice: Choice, details: ChoiceDetails | undefined): Decision {
      const mask = maskOf(
        asked.filter(
          (purpose) =>
            // No choice is a no.
            (choice === "all" || (choice as { [P in Purpose]?: boolean } | null)?.[purpose] === true) &&
            !(gpc && purpose === "ads"),
        ),
      );
      const made = { mask, at: Date.now(), consentId: randomId(), texts: details?.texts };
      return decide(encodeChoice(made), made, details, current().mask);
    },
    status(): ConsentStatus {
      const { status, mask, stamp } = current();
      return {
        status: stamp.regime ? "unset" : status,
        purposes: Object.fromEntries(
          purposes.map((purpose) => [purpose, hasPurpose(mask | 1, purpose)]),
        ) as ConsentStatus["purposes"],
        at: stamp.at,
        texts: stamp.texts,
        gpc,
        regime: stamp.regime,
      } as ConsentStatus;
    },
  };
};

export type Consent = ReturnType<typeof createConsent>;
