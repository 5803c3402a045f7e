import { createHash } from "node:crypto";
import { canonicalText, type Purpose, type PurposeText } from "@polder/protocol";

/** A row of `consent_notice`, but for its site and when it was first seen. */
export interface NoticeText extends PurposeText {
  hash: string;
  purpose: Purpose;
  language: string;
}

/** SHA-256, in hex, of one purpose's text in one language: what a stamp's `texts` hold. */
export const noticeHash = (purpose: string, language: string, text: PurposeText): string =>
  createHash("sha256")
    .update(canonicalText(purpose, language, text))
    .digest("hex");

/** Texts as a configuration holds them, `{ measurement: { en: { title, text } } }`, each with its hash. */
export const noticeTexts = (texts: {
  readonly [P in Purpose]?: { readonly [language: string]: PurposeText };
}): NoticeText[] =>
  (Object.entries(texts) as [Purpose, { readonly [language: string]: PurposeText }][]).flatMap(([purpose, languages]) =>
    Object.entries(languages).map(([language, { title, text }]) => ({
      hash: noticeHash(purpose, language, { title, text }),
      purpose,
      language,
      title,
      text,
    })),
  );
