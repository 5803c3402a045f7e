import type { SiteConfig } from "@polder/core";
import { UsageError } from "./exit-code.ts";

/** On which events without a consent of their own are taken with a key. */
export type KeyBasis = NonNullable<SiteConfig["serverKeys"][number]["basis"]>;

/** Options of parseArgs for {@link readBasis}. */
export const basisFlags = {
  basis: { type: "string" },
  purposes: { type: "string" },
  reason: { type: "string" },
} as const;

// Where only the site can know the reason, the sentence says so to whoever reads it later.
const reasons: { readonly [B in KeyBasis["basis"]]: string } = {
  contract: "Orders and accounts are part of the contract with the customer.",
  consent_elsewhere: "Consent is asked for, kept and heeded before anything is sent with this key.",
  legitimate_interest: "A legitimate interest: replace this by which one, and where it was weighed.",
  legal_obligation: "A legal obligation: replace this by which law asks for these records.",
};
const defaultPurposes: KeyBasis["purposes"] = ["necessary", "measurement", "profile"];

export const basisNames = Object.keys(reasons);

/** A basis for these purposes, for the reason that is the usual one. */
export const usualBasis = (basis: KeyBasis["basis"]): KeyBasis => ({
  purposes: defaultPurposes,
  basis,
  reason: reasons[basis],
});

/**
 * Undefined without `--basis`. Unknown purposes are left to the check of the whole file.
 * @throws {UsageError} for a basis that is none, and for what makes no sense without one.
 */
export function readBasis(flags: {
  basis?: string | undefined;
  purposes?: string | undefined;
  reason?: string | undefined;
}): KeyBasis | undefined {
  const { basis, purposes, reason } = flags;
  if (basis === undefined) {
    if (purposes === undefined && reason === undefined) return undefined;
    throw new UsageError(
      `--${purposes === undefined ? "reason" : "purposes"} needs a --basis: ${basisNames.join(", ")}.`,
    );
  }
  if (!isBasis(basis)) throw new UsageError(`--basis must be one of ${basisNames.join(", ")}.`);
  const usual = usualBasis(basis);
  return {
    purposes:
      purposes === undefined
        ? usual.purposes
        : (purposes
            .split(",")
            .map((purpose) => purpose.trim())
            .filter(Boolean) as KeyBasis["purposes"]),
    basis,
    reason: reason ?? usual.reason,
  };
}

const isBasis = (text: string): text is KeyBasis["basis"] => Object.hasOwn(reasons, text);

/** As `contract (necessary, measurement)`. */
export const basisWords = ({ basis, purposes }: KeyBasis): string => `${basis} (${purposes.join(", ")})`;
