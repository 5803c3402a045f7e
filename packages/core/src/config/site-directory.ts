import { createHash, timingSafeEqual } from "node:crypto";
import type { Purpose } from "@polder/protocol";
import { defaultIdentityRules } from "../people/identity-rules.ts";
import { noticeTexts, wholeNotice } from "../consent-record/notice-text.ts";
import type { Site, SiteDirectory, SiteKey } from "../ports/site-directory.ts";
import type { PolderConfig, SiteConfig } from "./config-rule.ts";

/** A source of milliseconds since 1970; `Date` is one. */
export interface Clock {
  now(): number;
}

/** The sites and keys of one configuration. A key outside of its time is nobody's. */
export function createSiteDirectory(config: PolderConfig, clock: Clock = Date): SiteDirectory {
  const sites = config.sites.map(toSite);
  const byId = new Map(sites.map((site) => [site.id, site]));
  const writeKeys = new Map<string, KnownKey>();
  const serverKeys: ServerKey[] = [];
  config.sites.forEach((siteConfig, index) => {
    const site = sites[index];
    if (site === undefined) return;
    for (const key of siteConfig.writeKeys) {
      writeKeys.set(key.key, { siteKey: { site, kind: "write", ...basisOf(key) }, ...validityOf(key) });
    }
    for (const key of siteConfig.serverKeys) {
      const origins = key.origins ?? ["observed", "declared"];
      const siteKey: SiteKey = { site, kind: "server", ...basisOf(key), origins };
      serverKeys.push({ hash: Buffer.from(key.hash, "hex"), siteKey, ...validityOf(key) });
    }
  });

  function findServerKey(key: string): ServerKey | undefined {
    const hash = createHash("sha256").update(key).digest();
    let found: ServerKey | undefined;
    // Every hash is compared to its end, so that the time taken tells nothing about the keys.
    for (const each of serverKeys) if (timingSafeEqual(each.hash, hash)) found = each;
    return found;
  }

  return {
    findKey(key) {
      const known = writeKeys.get(key) ?? findServerKey(key);
      if (known === undefined) return undefined;
      const now = clock.now();
      return now >= known.notBefore && now < known.notAfter ? known.siteKey : undefined;
    },
    findSite: (siteId) => byId.get(siteId),
    sites: () => sites,
  };
}

export interface ReloadableDirectory extends SiteDirectory {
  /** From the next call on, answers come from this configuration. */
  replace(config: PolderConfig): void;
}

/** A directory that outlives its configuration: the one to hand to whatever runs on while the file changes. */
export function createReloadableDirectory(initial: PolderConfig, clock: Clock = Date): ReloadableDirectory {
  let current = createSiteDirectory(initial, clock);
  return {
    findKey: (key) => current.findKey(key),
    findSite: (siteId) => current.findSite(siteId),
    sites: () => current.sites(),
    replace(config) {
      current = createSiteDirectory(config, clock);
    },
  };
}

/** A key and when it counts: `notBefore <= now < notAfter`. */
interface KnownKey {
  siteKey: SiteKey;
  notBefore: number;
  notAfter: number;
}
interface ServerKey extends KnownKey {
  hash: Buffer;
}

type KeyConfig = Pick<SiteConfig["writeKeys"][number], "basis" | "notBefore" | "notAfter">;

const basisOf = ({ basis }: KeyConfig): Pick<SiteKey, "basis"> => (basis === undefined ? {} : { basis });

const validityOf = ({ notBefore, notAfter }: KeyConfig): Pick<KnownKey, "notBefore" | "notAfter"> => ({
  notBefore: notBefore === undefined ? -Infinity : Date.parse(notBefore),
  notAfter: notAfter === undefined ? Infinity : Date.parse(notAfter),
});

const dayMs = 24 * 3_600_000;

function toSite(config: SiteConfig): Site {
  const { id, name, timezone, origins, cookieDomain, consent, allowThirdParty, maxEventsPerSecond, traits } = config;
  const { default: regime = "opt_in", ...regimes } = consent.regimes;
  const texts = noticeTexts(consent.purposes);
  const hashes = new Map<Purpose, Set<string>>();
  for (const { purpose, hash } of texts) hashes.set(purpose, (hashes.get(purpose) ?? new Set()).add(hash));
  return {
    id,
    name,
    timezone,
    origins,
    ...(cookieDomain !== undefined && { cookieDomain }),
    regime,
    regimes: new Map(Object.entries(regimes)),
    grantLifetimeMs: consent.grantDays * dayMs,
    refusalLifetimeMs: consent.refusalDays * dayMs,
    beforeChoice: consent.beforeChoice,
    currentTexts: Object.fromEntries(hashes),
    notices: Object.keys(consent.notice).length === 0 ? texts : [...texts, wholeNotice(consent)],
    allowThirdParty,
    maxEventsPerSecond,
    traits,
    currency: config.currency,
    retention: config.retention,
    identity: {
      ...config.identity,
      priority: [...new Set(config.identity.priority ?? defaultIdentityRules.priority)],
    },
  };
}
