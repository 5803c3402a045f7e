import {
  decodeRegime,
  encodeRegime,
  hasPurpose,
  maskOf,
  purposes,
  purposesOf,
  unrefusedPurposes,
  type LooserRegime,
} from "@polder/protocol";
import type { ChoiceDetails, Consent, Decision } from "./consent.ts";
import { regimeTimeoutMs } from "./limits.ts";

/** Says where nothing has to be asked first, and what may be done there. */
export interface RegimeFinder {
  /** Makes of what holds under `opt_in` what holds here. */
  judge(decision: Decision, details: ChoiceDetails): void;
  /** @param tidy runs once it is known what may be kept. */
  ask(consent: Consent, host: string, site: string, tidy: () => void): Promise<void>;
}

/** The day of the answer and the next one: a day at least. */
const holdsForMs = 2 * 86_400_000;

const answerOf = async (url: string): Promise<unknown> => {
  try {
    const response = await fetch(url, {
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout?.(regimeTimeoutMs),
    });
    return ((await response.json()) as { regime?: unknown }).regime;
  } catch {
    // Not known, which is `opt_in`.
  }
};

/**
 * Asks the collector, once a day and only where there is no choice, whether events may flow without one in the visitor's country. Until it has
 * answered, and when it does not, `opt_in` holds. Whatever it says here, it judges every event again.
 */
export const askRegime = (): RegimeFinder => {
  let isAwaited = true;
  let last = "";
  return {
    judge(decision, { isObjection }) {
      const { stamp, mask } = decision;
      const known = decodeRegime(isObjection ? last : decision.text);
      last = "";
      if (known && (isObjection || Math.abs(Date.now() - known.at) < holdsForMs)) {
        if (isObjection) known.objected = maskOf(purposes.slice(1)) & ~mask;
        last = decision.text = encodeRegime(known);
        stamp.regime = known.regime;
        stamp.purposes = Object.fromEntries(purposesOf(known.objected).map((purpose) => [purpose, "opted_out"]));
        delete stamp.at;
        decision.status = "granted";
        decision.mask = unrefusedPurposes(stamp, false) & ~1;
        decision.isPerson = hasPurpose(decision.mask, "profile");
      } else if (isAwaited && !stamp.at) {
        // Under it nothing is sent, so nobody else gets to see the word.
        stamp.regime = "asked" as never;
      }
    },
    async ask(consent, host, site, tidy) {
      const isDue = (): boolean => consent.status().regime === "asked";
      if (isDue()) {
        const regime = await answerOf(`${host}/v1/regime?writeKey=${site}`);
        const hasNoChoice = isDue();
        isAwaited = false;
        if (hasNoChoice) {
          const { objected = 0 } = decodeRegime(consent.current().text) ?? {};
          const text = encodeRegime({ regime: regime as LooserRegime, at: Date.now(), objected });
          consent.keep(consent.decide(decodeRegime(text) ? text : ""));
        }
      }
      tidy();
    },
  };
};
