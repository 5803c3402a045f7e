import { purposes, type PurposeMask } from "./purpose.ts";

/** What the device keeps of a choice: the value of the cookie `polder_consent` and of its mirror in storage. */
export type StoredChoice =
  | {
      kind: "granted";
      mask: PurposeMask;
      consentId: string;
      /** Milliseconds since 1970, kept to the second. */ at: number;
    }
  /** The same for everyone who refused in that month, so that it tells nobody apart. `month` is `202611`. */
  | { kind: "refused"; month: string };

export const choiceCookieName = "polder_consent";

const granted = /^v1\.g\.([0-9a-z]{1,2})\.([\w-]{1,64})\.([0-9a-z]{1,8})$/;
const allPurposes: PurposeMask = 2 ** purposes.length - 1;
const refused = /^v1\.d\.(\d{4}(?:0[1-9]|1[0-2]))$/;

export function encodeChoice(choice: StoredChoice): string {
  if (choice.kind === "refused") return `v1.d.${choice.month}`;
  return `v1.g.${choice.mask.toString(36)}.${choice.consentId}.${Math.floor(choice.at / 1000).toString(36)}`;
}

/** Undefined when it is not one of ours: nothing is known then. */
export function decodeChoice(text: string): StoredChoice | undefined {
  const grant = granted.exec(text);
  if (grant !== null) {
    const [, mask = "", consentId = "", at = ""] = grant;
    const bits = parseInt(mask, 36);
    return bits <= allPurposes ? { kind: "granted", mask: bits, consentId, at: parseInt(at, 36) * 1000 } : undefined;
  }
  const month = refused.exec(text)?.[1];
  return month === undefined ? undefined : { kind: "refused", month };
}

/** The month of a refusal, in UTC: `202611`. */
export const refusalMonth = (nowMs: number): string => new Date(nowMs).toISOString().slice(0, 7).replace("-", "");
