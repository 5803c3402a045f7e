import { createHash } from "node:crypto";
import { canonicalText, type Purpose, type PurposeText } from "@polder/protocol";

/** A row of `consent_notice`, but for its site and when it was first seen. */
export interface NoticeText extends PurposeText {
  hash: string;
  /** "" is a notice as a whole, whose `text` is JSON. */
  purpose: Purpose | "";
  language: string;
}

/** SHA-256, in hex, of one purpose's text in one language: what a stamp's `texts` hold. */
export const noticeHash = (purpose: string, language: string, text: PurposeText): string =>
  sha256(canonicalText(purpose, language, text));

/** What the hash of a row of `consent_notice` has to be. */
export const hashOfFiled = ({
  purpose,
  language,
  title,
  text,
}: PurposeText & { purpose: string; language: string }): string =>
  purpose === "" ? sha256(text) : noticeHash(purpose, language, { title, text });

/** All that a banner shows, both layers in every language: what `notice.hash` of a stamp is the hash of. */
export function wholeNotice({ notice, purposes }: { notice: object; purposes: object }): NoticeText {
  const text = JSON.stringify(["polder.notice/1", notice, purposes]);
  return { hash: sha256(text), purpose: "", language: "", title: "", text };
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Texts as a configuration holds them, `{ measurement: { en: { title, text } } }`, each with its hash. */
export const noticeTexts = (texts: {
  readonly [P in Purpose]?: { readonly [language: string]: PurposeText };
}): (NoticeText & { purpose: Purpose })[] =>
  (Object.entries(texts) as [Purpose, { readonly [language: string]: PurposeText }][]).flatMap(([purpose, languages]) =>
    Object.entries(languages).map(([language, { title, text }]) => ({
      hash: noticeHash(purpose, language, { title, text }),
      purpose,
      language,
      title,
      text,
    })),
  );
