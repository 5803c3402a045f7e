import { origins, purposes, regimes } from "@polder/protocol";
import { isIP } from "node:net";
import { contactKinds, defaultIdentityRules, type IdentityLimit } from "../people/identity-rules.ts";
import { defaultRetention, maxRetentionDays, minRetentionDays } from "../ports/retention-store.ts";
import { countries } from "./countries.ts";
import type { ObjectRule, Rule, ValueOf } from "./rule.ts";

const traitClasses = ["identity", "descriptive", "behavioural", "qualitative"] as const;
const beforeChoiceModes = ["silent", "buffer", "measurement"] as const;
const bases = ["contract", "consent_elsewhere", "legitimate_interest", "legal_obligation"] as const;

const basis = {
  type: "object",
  optional: true,
  about: "Allows events without a consent object, for these purposes, on this basis. Absent: without consent means no.",
  fields: {
    purposes: {
      type: "list",
      about: "What the events may be used for.",
      isNotEmpty: true,
      of: { type: "one_of", about: "A purpose.", values: purposes },
    },
    basis: { type: "one_of", about: "The legal basis.", values: bases },
    reason: {
      type: "text",
      about: "Why it holds, for whoever asks later.",
      pattern: /\S/,
      expected: "a sentence",
    },
  },
} as const satisfies Rule;

const validFrom = {
  type: "text",
  optional: true,
  about: "The key counts from this time on. ISO 8601 with a zone.",
  check: checkTime,
} as const satisfies Rule;
const validUntil = {
  type: "text",
  optional: true,
  about: "The key no longer counts from this time on: lets an old and a new key overlap. ISO 8601 with a zone.",
  check: checkTime,
} as const satisfies Rule;

const contactKind = { type: "one_of", about: "A kind of contact.", values: contactKinds } as const satisfies Rule;

const limitOf = (about: string, { max, withinDays }: IdentityLimit) =>
  ({
    type: "object",
    about,
    default: {},
    fields: {
      max: {
        type: "number",
        about: "How many of them, at most, are new within that time.",
        min: 1,
        max: 100_000,
        default: max,
      },
      withinDays: {
        type: "number",
        about: "The time, in days of 24 hours.",
        min: 1,
        max: 3_650,
        default: withinDays,
      },
    },
  }) as const satisfies Rule;

const languageNames = { pattern: /^[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$/, expected: "a language, as nl or pt-BR" };

const site = {
  type: "object",
  about: "A site.",
  fields: {
    id: {
      type: "text",
      about: "Short name in tables and paths. Never changes.",
      pattern: /^[a-z0-9][a-z0-9-]{0,62}$/,
      expected: "1 to 63 small letters, digits and hyphens",
    },
    name: { type: "text", about: "What people call it.", pattern: /\S/, expected: "a name" },
    timezone: {
      type: "text",
      about: "IANA zone of the site's days, as Europe/Amsterdam. Never changes: days that were counted stay counted.",
      check: checkTimezone,
    },
    origins: {
      type: "list",
      about:
        'Origins of the pages that may use the write keys, as https://shop.example. ["*"] allows all: for trying out only.',
      isNotEmpty: true,
      of: { type: "text", about: "An origin.", check: checkOrigin },
    },
    writeKeys: {
      type: "list",
      about: "Public keys for pages and apps. They can only write.",
      isNotEmpty: true,
      of: {
        type: "object",
        about: "A write key.",
        fields: {
          key: {
            type: "text",
            about: "The key, in plain: it is public.",
            pattern: /^pk_[A-Za-z0-9_-]{8,64}$/,
            expected: "pk_ and 8 to 64 letters, digits, _ or -",
          },
          name: { type: "text", optional: true, about: "What it is for." },
          basis,
          notBefore: validFrom,
          notAfter: validUntil,
        },
      },
    },
    serverKeys: {
      type: "list",
      about: "Secret keys for servers, stored as hashes. They may import the past and state an address and an origin.",
      default: [],
      of: {
        type: "object",
        about: "A server key.",
        fields: {
          hash: {
            type: "text",
            about: "SHA-256 of the key, in hex. The key itself is not stored anywhere.",
            pattern: /^[0-9a-f]{64}$/,
            expected: "64 small hex digits: the SHA-256 of the key, not the key",
          },
          name: { type: "text", about: "What uses it.", pattern: /\S/, expected: "a name" },
          basis,
          origins: {
            type: "list",
            optional: true,
            about: "What its events may claim as their origin. Absent: observed and declared.",
            of: { type: "one_of", about: "An origin.", values: origins },
          },
          notBefore: validFrom,
          notAfter: validUntil,
        },
      },
    },
    cookieDomain: {
      type: "text",
      optional: true,
      about: "Parent domain of the first-party cookie, as example.com. Absent: the collector's own host only.",
      pattern: /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9][a-z0-9-]*$/,
      expected: "a domain in small letters without a leading dot, as example.com",
    },
    consent: {
      type: "object",
      about: "What visitors are asked, and what holds before they answer.",
      default: {},
      fields: {
        regimes: {
          type: "map",
          about:
            "What holds without a choice, by country of the visitor (ISO 3166, as US), and `default` for all others: opt_in when absent. Where countries are named and a visitor's is not known, the strictest of all of these holds.",
          names: {
            pattern: /^(?:default|[A-Z]{2})$/,
            expected: "default, or a country in two capitals, as US",
            check: checkPlace,
          },
          of: { type: "one_of", about: "A regime.", values: regimes },
          default: {},
        },
        grantDays: {
          type: "number",
          about: "Days that a yes counts; then the visitor has to be asked again.",
          min: 1,
          max: 365,
          default: 365,
        },
        refusalDays: {
          type: "number",
          about: "Days that a refusal holds before the visitor is asked again: half a year at least.",
          min: 184,
          max: 730,
          default: 184,
        },
        beforeChoice: {
          type: "object",
          about: "What happens before a visitor has chosen.",
          default: {},
          fields: {
            mode: {
              type: "one_of",
              about:
                "silent: nothing is kept or sent. buffer: the page keeps events in memory and sends them after a yes. measurement: the page sends one request a page view, without an id of any kind, and the collector keeps it as a count of nobody.",
              values: beforeChoiceModes,
              default: "silent",
            },
            reason: {
              type: "text",
              optional: true,
              about:
                "Why that may be, for whoever asks later: on what the site relies. Needed for buffer and measurement.",
              pattern: /\S/,
              expected: "a sentence",
            },
          },
        },
        purposes: {
          type: "map",
          about:
            "What visitors are told about each purpose, by language (BCP 47, as nl). Kept for ever by its hash. A changed text takes back the yes to that purpose, and to no other, from choices that say which text they were made under.",
          names: { pattern: new RegExp(`^(?:${purposes.join("|")})$`), expected: `one of ${purposes.join(", ")}` },
          of: {
            type: "map",
            about: "Texts of a purpose, by language.",
            names: languageNames,
            isNotEmpty: true,
            of: {
              type: "object",
              about: "The text in one language.",
              fields: {
                title: { type: "text", about: "Name of the purpose.", pattern: /\S/, expected: "a text" },
                text: { type: "text", about: "What is done with the data.", pattern: /\S/, expected: "a text" },
              },
            },
          },
          default: {},
        },
        notice: {
          type: "map",
          about:
            "What the banner says first, by language: who asks, and for what. In the languages of `purposes`; `polder tag` puts both into the page.",
          names: languageNames,
          of: {
            type: "object",
            about: "The first layer in one language.",
            fields: {
              title: { type: "text", about: "Title of the banner.", pattern: /\S/, expected: "a text" },
              text: { type: "text", about: "What is asked.", pattern: /\S/, expected: "a text" },
              links: {
                type: "list",
                about: "Where more is told, as a page on privacy.",
                default: [],
                of: {
                  type: "object",
                  about: "A link.",
                  fields: {
                    text: { type: "text", about: "What it says.", pattern: /\S/, expected: "a text" },
                    href: { type: "text", about: "Where it leads.", check: checkLink },
                  },
                },
              },
            },
          },
          default: {},
        },
      },
    },
    retention: {
      type: "object",
      about:
        "How long what arrived is kept, at most: it goes by the week, so up to six days sooner. A change counts for what is there too.",
      default: {},
      fields: {
        anonymousDays: {
          type: "number",
          about: "Days that events without a user id are kept, with everything made of them.",
          min: minRetentionDays,
          max: maxRetentionDays,
          default: defaultRetention.anonymousDays,
        },
        knownDays: {
          type: "number",
          about: "Days that events with a user id are kept, with everything made of them.",
          min: minRetentionDays,
          max: maxRetentionDays,
          default: defaultRetention.knownDays,
        },
      },
    },
    identity: {
      type: "object",
      about: "What makes several ids one person. After a change everybody is worked out anew.",
      default: {},
      fields: {
        limits: {
          type: "object",
          about:
            "How many different ids one value may tie together. A value beyond its limit ties none: it is not somebody's own.",
          default: {},
          fields: {
            user_id: limitOf("Devices on which one user id logs in.", defaultIdentityRules.limits.user_id),
            email: limitOf("Ids that state one e-mail address.", defaultIdentityRules.limits.email),
            phone: limitOf("Ids that state one telephone number.", defaultIdentityRules.limits.phone),
          },
        },
        priority: {
          type: "list",
          optional: true,
          about:
            "Contacts that join people, the first before the others. A kind that is not named joins nobody. Absent: email, then phone.",
          of: contactKind,
        },
        unique: {
          type: "list",
          about:
            "Contacts of which a person has one at most: two people who state different ones stay two. A user id always is.",
          default: [],
          of: contactKind,
        },
        blocked: {
          type: "list",
          about:
            "Ids, e-mail addresses and telephone numbers that stand for nobody, as those of a shop's counter. Ones like null, guest, 0000 and test@… always do.",
          default: [],
          of: {
            type: "text",
            about: "A value. Small letters and space around it make no difference.",
            pattern: /\S/,
            expected: "a value",
          },
        },
        trustsForms: {
          type: "boolean",
          about:
            "Whether a contact that is typed into a form joins people by itself. Otherwise a login or a server has to have stated it too.",
          default: defaultIdentityRules.trustsForms,
        },
        aliasJoinsUsers: {
          type: "boolean",
          about: "Whether an alias of two user ids makes them one person.",
          default: defaultIdentityRules.aliasJoinsUsers,
        },
        maxAtoms: {
          type: "number",
          about:
            "Identities (pairs of device and user id) that a person has, at most. One of more is quarantined: each of its identities stands alone.",
          min: 2,
          max: 100_000,
          default: defaultIdentityRules.maxAtoms,
        },
      },
    },
    currency: {
      type: "text",
      about: "ISO 4217 currency of amounts that name none.",
      default: "EUR",
      check: checkCurrency,
    },
    allowThirdParty: {
      type: "boolean",
      about: "Whether events with the origin third_party are taken.",
      default: false,
    },
    maxEventsPerSecond: {
      type: "number",
      about: "Events a second before the site hears 429.",
      min: 1,
      max: 1_000_000,
      default: 5_000,
    },
    traits: {
      type: "map",
      about: "Traits that the built-in table does not know or judges otherwise, by name.",
      default: {},
      of: {
        type: "object",
        about: "How a trait is treated.",
        fields: {
          class: { type: "one_of", about: "What sort of fact it is.", values: traitClasses },
          purpose: { type: "one_of", about: "What it may be used for.", values: purposes, default: "profile" },
          personal: { type: "boolean", about: "Whether it tells who someone is." },
        },
      },
    },
  },
} as const satisfies ObjectRule;

/** All of `polder.config.json`. Only `sites` has to be there. */
export const configRule = {
  type: "object",
  about: "Configuration of Polder.",
  fields: {
    $schema: { type: "text", optional: true, about: "Where an editor finds the schema of this file." },
    sites: { type: "list", about: "The sites whose events are taken.", isNotEmpty: true, of: site },
    limits: {
      type: "object",
      about: "What the machine can take.",
      default: {},
      fields: {
        maxInFlightBytes: {
          type: "number",
          about:
            "Bytes that a collector process holds of requests not answered yet and of the rows made of them; past it senders hear 503. Read at the start.",
          min: 1024 * 1024,
          max: 16 * 1024 ** 3,
          default: 64 * 1024 ** 2,
        },
      },
    },
    trustedProxies: {
      type: "list",
      about: "Addresses or CIDR ranges of proxies whose X-Forwarded-For counts.",
      default: [],
      of: { type: "text", about: "An address or range.", check: checkNetwork },
    },
    countryHeader: {
      type: "text",
      optional: true,
      about: "Header in which a trusted proxy states the visitor's country, as cf-ipcountry. Absent: by address.",
      pattern: /^[a-z0-9-]+$/,
      expected: "the name of a header in small letters",
    },
    retention: {
      type: "object",
      about: "How long data is kept.",
      default: {},
      fields: {
        logBytes: {
          type: "number",
          about: "Bytes of loaded events that the embedded log keeps before it drops the oldest. Read at the start.",
          min: 16 * 1024 ** 2,
          max: 1024 ** 4,
          default: 512 * 1024 ** 2,
        },
      },
    },
  },
} as const satisfies ObjectRule;

export type PolderConfig = ValueOf<typeof configRule>;
export type SiteConfig = PolderConfig["sites"][number];

function checkPlace(name: string): string | undefined {
  if (name === "default" || countries.has(name)) return undefined;
  if (name === "UK") return "is no country of ISO 3166: write GB.";
  if (name === "EU") return "is no country: name each of its countries, as DE, or leave the EU to `default`.";
  return "is no country of ISO 3166, so no visitor would ever come from it: write its code, as US.";
}

function checkTimezone(zone: string): string | undefined {
  const wrong = "must be an IANA zone, as Europe/Amsterdam or UTC.";
  if (zone !== "UTC" && !/^[A-Za-z]+(?:\/[A-Za-z0-9_+-]+)+$/.test(zone)) return wrong;
  try {
    const resolved = new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone;
    // ClickHouse takes zones in their own case only.
    const isMiscased = resolved !== zone && resolved.toLowerCase() === zone.toLowerCase();
    return isMiscased ? `must be written ${resolved}.` : undefined;
  } catch {
    return wrong;
  }
}

function checkOrigin(origin: string): string | undefined {
  if (origin === "*") return undefined;
  const wrong = "must be an origin, as https://shop.example, without a path.";
  try {
    const url = new URL(origin);
    if (url.protocol !== "https:" && url.protocol !== "http:") return wrong;
    return url.origin === origin ? undefined : `must be an origin without a path: write ${url.origin}.`;
  } catch {
    return wrong;
  }
}

function checkLink(href: string): string | undefined {
  const isPath = /^\/(?!\/)\S*$/.test(href);
  return isPath || (/^https?:\/\/\S+$/.test(href) && URL.canParse(href))
    ? undefined
    : "must be an address, as https://shop.example/privacy, or a path of the site, as /privacy.";
}

function checkCurrency(code: string): string | undefined {
  return Intl.supportedValuesOf("currency").includes(code) ? undefined : "must be an ISO 4217 code, as EUR.";
}

function checkTime(time: string): string | undefined {
  const hasZone = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(time);
  return hasZone && !Number.isNaN(Date.parse(time))
    ? undefined
    : "must be a time with a zone, as 2026-11-22T00:00:00Z.";
}

function checkNetwork(network: string): string | undefined {
  const [address = "", prefix, ...rest] = network.split("/");
  const version = isIP(address);
  const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
  return version !== 0 && isPrefix && rest.length === 0 ? undefined : "must be an address or a range, as 10.0.0.0/8.";
}
