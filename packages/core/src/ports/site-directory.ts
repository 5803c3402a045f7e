import type { CurrentTexts, Origin, Purpose, Regime } from "@polder/protocol";
import type { NoticeText } from "../consent-record/notice-text.ts";
import type { IdentityRules } from "../people/identity-rules.ts";
import type { Retention } from "./retention-store.ts";

/** What the collector knows about sites and keys. Read from `polder.config.json`; a change is seen without a restart. */
export interface SiteDirectory {
  /** The key's owner, or undefined when nobody's. Compares secrets in constant time. */
  findKey(key: string): SiteKey | undefined;
  findSite(siteId: string): Site | undefined;
  sites(): readonly Site[];
}

export interface Site {
  id: string;
  name: string;
  /** IANA zone of the site's days, fixed when the site is made. */
  timezone: string;
  /** Origins that may use the write keys, as `https://shop.example`; `*` allows all (only for trying out). */
  origins: readonly string[];
  /** Parent domain of the first-party cookie, as `example.com`; undefined: host-only. */
  cookieDomain?: string;
  /** What holds without a choice in a country that {@link regimes} does not name. */
  regime: Regime;
  /** What holds in these countries, ISO 3166 in two capitals. */
  regimes: ReadonlyMap<string, Regime>;
  /** How long a yes counts. */
  grantLifetimeMs: number;
  /** How long a refusal holds before the visitor is asked again. */
  refusalLifetimeMs: number;
  beforeChoice: BeforeChoice;
  /** Hashes of the texts of today. */
  currentTexts: CurrentTexts;
  /** These texts, every language. */
  notices: readonly NoticeText[];
  /** Whether `origin: third_party` is taken. */
  allowThirdParty: boolean;
  /** How many events a second a site may send before it hears 429. */
  maxEventsPerSecond: number;
  /** Class, purpose and whether it is personal, for traits that the built-in table does not know or judges otherwise. */
  traits: { readonly [name: string]: TraitKind };
  currency: string;
  /** How long what arrived is kept. */
  retention: Retention;
  /** What makes several ids one person. */
  identity: IdentityRules;
}

/** What happens before a visitor has chosen. */
export interface BeforeChoice {
  mode: "silent" | "buffer" | "measurement";
  /** The owner's, with every mode but `silent`: on what the site relies. */
  reason?: string;
}

export interface TraitKind {
  class: "identity" | "descriptive" | "behavioural" | "qualitative";
  purpose: Purpose;
  personal: boolean;
}

export interface SiteKey {
  site: Site;
  kind: "write" | "server";
  /**
   * For server keys, and for write keys of a site whose consent is handled elsewhere: events without a consent object count as granted for these
   * purposes, on this basis. Undefined: without consent means no.
   */
  basis?: {
    purposes: readonly Purpose[];
    basis: "contract" | "consent_elsewhere" | "legitimate_interest" | "legal_obligation";
    reason: string;
  };
  /** What a server key's events may claim. */
  origins?: readonly Origin[];
}
