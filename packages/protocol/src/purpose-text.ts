import type { ConsentStamp, ConsentState } from "./event.ts";
import { purposes, type Purpose } from "./purpose.ts";

/** What a visitor is told about a purpose, in one language. */
export interface PurposeText {
  title: string;
  text: string;
}

/**
 * The bytes whose SHA-256 in hex is the hash of a text, as UTF-8: a JSON array in the canonical form of RFC 8785. The purpose and the language are
 * part of it, so that the same words under another purpose are another text.
 */
export const canonicalText = (purpose: string, language: string, { title, text }: PurposeText): string =>
  JSON.stringify(["polder.text/1", purpose, language, title, text]);

/** The hashes of the texts that a site shows today, in every language, by purpose. A purpose without texts is not among them. */
export type CurrentTexts = { readonly [P in Purpose]?: ReadonlySet<string> };

/**
 * The choice as it counts under the texts of today: a grant that was given to another text of its purpose is `unset`; other purposes keep theirs.
 * A no stays a no whatever was read. A stamp that does not say what was shown for a purpose, as those of other banners, keeps its grant. The beginning
 * of a hash says as much as all of it. The same object when nothing changes.
 */
export function underCurrentTexts(stamp: ConsentStamp, current: CurrentTexts): ConsentStamp {
  const { texts } = stamp;
  if (texts === undefined) return stamp;
  let changed: { [P in Purpose]?: ConsentState } | undefined;
  for (const purpose of purposes) {
    const [known, shown] = [current[purpose], texts[purpose]];
    if (known === undefined || shown === undefined || isOneOf(known, shown) || stamp.purposes[purpose] !== "granted")
      continue;
    changed ??= { ...stamp.purposes };
    changed[purpose] = "unset";
  }
  return changed === undefined ? stamp : { ...stamp, purposes: changed };
}

const isOneOf = (known: ReadonlySet<string>, shown: string): boolean =>
  known.has(shown) || [...known].some((hash) => hash.startsWith(shown));
