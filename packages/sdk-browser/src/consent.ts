import {
  choiceCookieName,
  decodeChoice,
  defaultGrantLifetimeMs,
  encodeChoice,
  grantedPurposes,
  hasPurpose,
  maskOf,
  purposes,
  type ConsentStamp,
  type ConsentState,
  type Purpose,
  type PurposeMask,
  type StoredChoice,
} from "@polder/protocol";
import { recall, removeCookie, writeCookie, writeLocal } from "./device-storage.ts";
import { refusalLifetimeMs } from "./limits.ts";
import { randomId } from "./random-id.ts";

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
}

export interface ConsentStatus {
  /** `unset`: never asked, or asked too long ago: show the banner. */
  status: "unset" | "granted" | "denied";
  /** What may be done now; Global Privacy Control has been applied. */
  purposes: { [P in Purpose]: boolean };
  /** When the last choice was made, ISO 8601; of a refusal the start of its 30 days. Also when it has grown too old. */
  at?: string;
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

/** @param cookieDomain "" is this host alone. */
export const createConsent = (cookieDomain: string, gpc: boolean) => {
  const decide = (
    text: string,
    choice = decodeChoice(text),
    { notice, texts }: ChoiceDetails = {},
    before = 0,
  ): Decision => {
    const { mask: chosen = 0, at = 0, consentId: id }: Partial<StoredChoice> = choice ?? {};
    const end = at + (chosen ? defaultGrantLifetimeMs : refusalLifetimeMs);
    const isOver = Date.now() > end;
    const stateOf = (purpose: Purpose): ConsentState =>
      hasPurpose(chosen, purpose) ? "granted" : hasPurpose(before, purpose) ? "withdrawn" : "denied";
    const stamp = {
      v: 1,
      id,
      purposes: Object.fromEntries(asked.map((purpose) => [purpose, stateOf(purpose)])),
      at: new Date(at).toISOString(),
      gpc,
      notice,
      texts,
    } as ConsentStamp;
    const mask = grantedPurposes(stamp, gpc, Date.now()) & ~1;
    const isPerson = hasPurpose(mask, "profile");
    return {
      text,
      stamp,
      mask,
      isPerson,
      status: mask ? "granted" : choice && !chosen && !isOver ? "denied" : "unset",
      until: isOver ? Infinity : end,
    };
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
    keep,
    /** What the choice would mean; nothing is kept yet. Its stamp tells what is withdrawn. */
    weigh(choice: Choice, details: ChoiceDetails | undefined): Decision {
      const mask = maskOf(
        asked.filter(
          (purpose) =>
            (choice === "all" || (choice as { [P in Purpose]?: boolean })[purpose] === true) &&
            !(gpc && purpose === "ads"),
        ),
      );
      const made = { mask, at: Date.now(), consentId: randomId() };
      return decide(encodeChoice(made), made, details, current().mask);
    },
    status(): ConsentStatus {
      const { status, mask, stamp, text } = current();
      return {
        status,
        purposes: Object.fromEntries(
          purposes.map((purpose) => [purpose, hasPurpose(mask | 1, purpose)]),
        ) as ConsentStatus["purposes"],
        ...(decodeChoice(text) && { at: stamp.at! }),
        gpc,
      };
    },
  };
};

export type Consent = ReturnType<typeof createConsent>;
