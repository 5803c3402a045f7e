import type { Regime } from "./event.ts";
import { hasPurpose, purposes, type Purpose, type PurposeMask } from "./purpose.ts";

/** What the device keeps of a choice: the value of the cookie `polder_consent` and of its mirror in storage. */
export interface StoredChoice {
  /** What was granted; 0 is a refusal. */
  mask: PurposeMask;
  /** Milliseconds since 1970: of a grant to the second, of a refusal the start of its {@link refusalPeriodMs}. */
  at: number;
  /** "" after a refusal. */
  consentId: string;
  /** Which text each of them was granted to, where it is known: its hash, of which the device keeps the beginning. */
  texts?: { [P in Purpose]?: string } | undefined;
}

export const choiceCookieName = "polder_consent";

/** 30 days. Everyone who refuses within the same ones keeps the same text, so that it tells nobody apart. */
export const refusalPeriodMs = 30 * 24 * 3_600_000;

const stored = /^v1\.([0-9a-z]{1,2})\.([0-9a-z]{1,8})\.([\w-]{0,64})\.?(\w*)$/;
/** Place of the purpose, and as much of the hash as tells two texts of one purpose apart. */
const keptText = /(\d)([0-9a-f]{8})/g;
const allPurposes: PurposeMask = 2 ** purposes.length - 1;

/** Of a refusal nothing but its period is kept, whatever the choice holds. */
export function encodeChoice({ mask, at, consentId, texts }: StoredChoice): string {
  const seconds = Math.floor((mask ? at : at - (at % refusalPeriodMs)) / 1000);
  const hashes = purposes
    .map((purpose, i) => (hasPurpose(mask, purpose) ? `${i}${texts?.[purpose]}`.slice(0, 9) : ""))
    .join()
    .match(keptText);
  return `v1.${mask.toString(36)}.${seconds.toString(36)}.${mask ? consentId : ""}${hashes ? `.${hashes.join("")}` : ""}`;
}

/** Undefined when it is not one of ours: nothing is known then. */
export function decodeChoice(text: string): StoredChoice | undefined {
  const [, bits = "", seconds = "", consentId = "", hashes = ""] = stored.exec(text) ?? [];
  const mask = parseInt(bits, 36);
  const texts = Object.fromEntries(Array.from(hashes.matchAll(keptText), ([, i, hash]) => [purposes[+i!], hash]));
  // Not a number where it did not match.
  return mask <= allPurposes && !mask === !consentId
    ? { mask, at: parseInt(seconds, 36) * 1000, consentId, ...(hashes && { texts }) }
    : undefined;
}

/** A regime under which nothing has to be asked first. */
export type LooserRegime = Exclude<Regime, "opt_in">;

/** What the device keeps in the place of a choice, where there is none and none is asked for first. The same for everyone there that day. */
export interface StoredRegime {
  regime: LooserRegime;
  /** Milliseconds since 1970: start of the day (UTC) on which the collector said so. */
  at: number;
  /** What the visitor objects to by a signal, without having made a choice. */
  objected: PurposeMask;
}

const dayMs = 24 * 3_600_000;
const storedRegime = /^r1\.(opt_out|notice)\.([0-9a-z]{1,6})\.([0-9a-z]{1,2})$/;

export const encodeRegime = ({ regime, at, objected }: StoredRegime): string =>
  `r1.${regime}.${Math.floor(at / dayMs).toString(36)}.${objected.toString(36)}`;

/** Undefined when it is not one of ours, as when it is a choice. */
export function decodeRegime(text: string): StoredRegime | undefined {
  const [, regime, day = "", bits = ""] = storedRegime.exec(text) ?? [];
  return regime
    ? { regime: regime as LooserRegime, at: parseInt(day, 36) * dayMs, objected: parseInt(bits, 36) & allPurposes }
    : undefined;
}
