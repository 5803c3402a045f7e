import type { BannerNotice } from "./banner.ts";

/**
 * What a notice lacks, by its path: a consent has to be to something. Undefined when nothing is missing.
 * @param known has every purpose there is as a key.
 */
export function faultOf(notice: BannerNotice | null, known: object): string | undefined {
  const { version, texts, purposes } = (notice ?? {}) as Partial<BannerNotice>;
  if (!version) return "version is missing";
  const parts = Object.entries(purposes ?? {}).map(([name, told]) => [`purposes.${name}`, told] as const);
  for (const [path, told] of [["texts", texts] as const, ...parts]) {
    const languages = Object.entries(told ?? {});
    if (!languages.length) return `${path} has no language`;
    for (const [language, said] of languages) {
      if (!said?.title || !said.text) return `${path}.${language} needs a title and a text`;
    }
  }
  for (const [language, { links = [] }] of Object.entries(texts!)) {
    if (!Array.isArray(links) || !links.every((link) => link?.text))
      return `texts.${language}.links needs a text for each`;
  }
  const asked = Object.keys(purposes ?? {}).filter((name) => name !== "necessary");
  const names = Object.keys(known);
  const unknown = asked.find((name) => !names.includes(name));
  if (unknown) return `purposes.${unknown} is no purpose: there are ${names.join(", ")}`;
  return asked.length ? undefined : "purposes asks for nothing";
}
