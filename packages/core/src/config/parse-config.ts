import { configRule, type PolderConfig, type SiteConfig } from "./config-rule.ts";
import { findJsonFault } from "./find-json-fault.ts";
import { moveSettings } from "./move-settings.ts";
import { readByRule, type ConfigProblem } from "./read-by-rule.ts";

export type ConfigResult = { ok: true; config: PolderConfig } | { ok: false; problems: readonly ConfigProblem[] };

/** The text of `polder.config.json` with defaults filled in, or everything that is wrong with it at once. Never throws. */
export function parseConfig(text: string): ConfigResult {
  let value: unknown;
  // An editor may have put a byte order mark first.
  const json = text.replace(/^\ufeff/, "");
  try {
    value = JSON.parse(json);
  } catch {
    return { ok: false, problems: [{ path: "", message: `is not JSON: ${explain(json)}` }] };
  }
  const problems: ConfigProblem[] = [];
  const config = readByRule(configRule, moveSettings(value), "", problems) as PolderConfig;
  // Only a configuration of the right shape can be looked through as a whole.
  if (problems.length === 0) findContradictions(config, problems);
  return problems.length === 0 ? { ok: true, config } : { ok: false, problems };
}

function findContradictions(config: PolderConfig, problems: ConfigProblem[]): void {
  const sites = new Map<string, string>();
  const keys = new Map<string, string>();
  const claimOnce = (claimed: Map<string, string>, value: string, path: string): void => {
    const holder = claimed.get(value);
    if (holder === undefined) claimed.set(value, path);
    else problems.push({ path, message: `is the same as ${holder}: each must be used once.` });
  };
  config.sites.forEach((site, index) => {
    const path = `sites[${index}]`;
    claimOnce(sites, site.id, `${path}.id`);
    site.writeKeys.forEach((key, at) => {
      claimOnce(keys, key.key, `${path}.writeKeys[${at}].key`);
      checkValidity(key, `${path}.writeKeys[${at}]`, problems);
    });
    site.serverKeys.forEach((key, at) => {
      claimOnce(keys, key.hash, `${path}.serverKeys[${at}].hash`);
      checkValidity(key, `${path}.serverKeys[${at}]`, problems);
      if (key.origins?.includes("third_party") && !site.allowThirdParty) {
        problems.push({
          path: `${path}.serverKeys[${at}].origins`,
          message: "has third_party, which the site does not take: set allowThirdParty, or leave it out.",
        });
      }
    });
    if (site.retention.knownDays < site.retention.anonymousDays) {
      problems.push({
        path: `${path}.retention.knownDays`,
        message: "is less than anonymousDays: known visitors are kept at least as long.",
      });
    }
    checkConsent(site.consent, `${path}.consent`, problems);
    if (site.origins.includes("*") && site.origins.length > 1) {
      problems.push({
        path: `${path}.origins`,
        message: 'has "*" beside others: leave "*" out, or leave the others out.',
      });
    }
  });
}

function checkConsent(
  { beforeChoice, purposes, notice }: SiteConfig["consent"],
  path: string,
  problems: ConfigProblem[],
): void {
  const { mode, reason } = beforeChoice;
  if (mode !== "silent" && reason === undefined)
    problems.push({
      path: `${path}.beforeChoice.reason`,
      message: `is missing: say why ${mode} may be before a choice, on what law or exception the site relies. It is kept on record.`,
    });

  // A visitor reads one language: a purpose without it would have to be agreed to unread.
  const languages = new Set(Object.values(purposes).flatMap((texts) => Object.keys(texts)));
  for (const [purpose, texts] of Object.entries(purposes)) {
    const missing = [...languages].filter((language) => !Object.hasOwn(texts, language));
    if (missing.length > 0)
      problems.push({
        path: `${path}.purposes.${purpose}`,
        message: `has no text in ${missing.join(", ")}, which other purposes have: every purpose needs the same languages.`,
      });
  }
  const given = Object.keys(notice);
  const missing = given.length === 0 ? [] : [...languages].filter((language) => !given.includes(language));
  if (missing.length > 0)
    problems.push({
      path: `${path}.notice`,
      message: `has no text in ${missing.join(", ")}, which the purposes have: both need the same languages.`,
    });
  for (const language of given.filter((each) => !languages.has(each)))
    problems.push({
      path: `${path}.notice.${language}`,
      message: "is a language that no purpose has a text in: add it to purposes, or leave it out.",
    });
}

type Validity = Pick<SiteConfig["writeKeys"][number], "notBefore" | "notAfter">;

function checkValidity({ notBefore, notAfter }: Validity, path: string, problems: ConfigProblem[]): void {
  if (notBefore === undefined || notAfter === undefined || Date.parse(notBefore) < Date.parse(notAfter)) return;
  problems.push({ path: `${path}.notAfter`, message: "must be later than notBefore: the key would never count." });
}

/** Where the text stops being JSON. Quotes nothing of it: it can hold keys. */
function explain(text: string): string {
  const before = text.slice(0, findJsonFault(text)).split("\n");
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}. A missing or trailing comma, a quote, or a comment?`;
}
