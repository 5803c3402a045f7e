import { noticeTexts, wholeNotice, type NoticeText, type SiteConfig } from "@polder/core";

// What the script takes for granted; said in the tag only where the configuration says otherwise.
const scriptDefaults = { mode: "silent", grantDays: 365, refusalDays: 184 };

type TagSource = Pick<SiteConfig, "consent"> & { readonly cookieDomain?: string };

/** The tag of the script, with what the configuration says about consent. @param collector without a slash at its end. */
export function scriptTag({ cookieDomain, consent }: TagSource, writeKey: string, collector: string): string {
  const { beforeChoice, grantDays, refusalDays, regimes } = consent;
  // Only the larger script can ask what holds where the visitor is; the other one takes it that consent is asked for everywhere.
  const asksRegime = Object.values(regimes).some((regime) => regime !== "opt_in");
  const attributes = {
    src: `${collector}/${asksRegime ? "polder.all.js" : "polder.js"}`,
    "data-site": writeKey,
    ...(asksRegime && { "data-regime": "ask" }),
    ...(beforeChoice.mode !== scriptDefaults.mode && { "data-before-choice": beforeChoice.mode }),
    ...(cookieDomain !== undefined && { "data-cookie-domain": cookieDomain }),
    ...(grantDays !== scriptDefaults.grantDays && { "data-grant-days": grantDays }),
    ...(refusalDays !== scriptDefaults.refusalDays && { "data-refusal-days": refusalDays }),
  };
  const written = Object.entries(attributes).map(([name, value]) => `${name}="${escapeAttribute(String(value))}"`);
  return `<script async ${written.join(" ")}></script>`;
}

/** What `polder-banner.js` reads: the texts, each with its hash, and a version that changes with any of them. */
export function bannerNotice({ notice, purposes }: Pick<SiteConfig["consent"], "notice" | "purposes">) {
  const withHashes: { [purpose: string]: { [language: string]: Omit<NoticeText, "purpose" | "language"> } } = {};
  for (const { purpose, language, title, text, hash } of noticeTexts(purposes))
    (withHashes[purpose] ??= {})[language] = { title, text, hash };
  const { hash } = wholeNotice({ notice, purposes });
  return { version: hash.slice(0, 12), hash, texts: notice, purposes: withHashes };
}

/** The notice as data of the page, and the tag of `polder-banner.js`, which reads it. Undefined while the configuration lacks its texts. */
export function bannerTags({ consent }: Pick<SiteConfig, "consent">, collector: string): string | undefined {
  if (Object.keys(consent.notice).length === 0) return undefined;
  // Within a script element, `<` could be its end or begin a comment.
  const json = JSON.stringify(bannerNotice(consent), undefined, 2).replaceAll("<", String.raw`\u003c`);
  return `<script type="application/json" id="polder-notice">
${json}
</script>
<script async src="${escapeAttribute(collector)}/polder-banner.js"></script>`;
}

const escapeAttribute = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
