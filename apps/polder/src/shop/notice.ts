import { bannerNotice } from "../cli/page-tags.ts";
import type { Asked } from "../demo-config.ts";

/** What `polder-banner.js` reads out of a page. */
export type Notice = ReturnType<typeof bannerNotice> & { language: string };

/**
 * As `polder tag` prints it. The shop speaks English; its banner is for everyone, so it comes in the language that the browser asks for first,
 * as far as there are texts.
 * @param acceptLanguage of the request.
 */
export function noticeFor(acceptLanguage: string, asked: Asked): Notice {
  const notice = bannerNotice(asked);
  const language = acceptLanguage
    .split(",")
    .map((range) => range.trim().slice(0, 2).toLowerCase())
    .find((each) => Object.hasOwn(notice.texts, each));
  return { ...notice, language: language ?? Object.keys(notice.texts)[0]! };
}
