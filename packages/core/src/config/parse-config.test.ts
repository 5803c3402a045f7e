import { checkProperty, hostileJson } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { configJsonSchema } from "./config-schema.ts";
import { parseConfig } from "./parse-config.ts";

const hash = "0123456789abcdef".repeat(4);

const site = (fields: object = {}): object => ({
  id: "shop",
  name: "Shop",
  timezone: "Europe/Amsterdam",
  origins: ["https://shop.example"],
  writeKeys: [{ key: "pk_12345678" }],
  ...fields,
});
const serverKey = (fields: object = {}): object => ({ hash, name: "till", ...fields });

const parse = (config: unknown) => parseConfig(typeof config === "string" ? config : JSON.stringify(config));

function problemsOf(config: unknown): string[] {
  const result = parse(config);
  return result.ok ? [] : result.problems.map(({ path, message }) => `${path}: ${message}`);
}

describe("a configuration", () => {
  it("needs nothing but its sites", () => {
    expect(parse({ sites: [site()] })).toEqual({
      ok: true,
      config: {
        sites: [
          {
            id: "shop",
            name: "Shop",
            timezone: "Europe/Amsterdam",
            origins: ["https://shop.example"],
            writeKeys: [{ key: "pk_12345678" }],
            serverKeys: [],
            consent: {
              regimes: {},
              grantDays: 365,
              refusalDays: 184,
              beforeChoice: { mode: "silent" },
              purposes: {},
              notice: {},
            },
            retention: { anonymousDays: 395, knownDays: 1_125 },
            identity: {
              limits: {
                user_id: { max: 100, withinDays: 30 },
                email: { max: 10, withinDays: 30 },
                phone: { max: 10, withinDays: 30 },
              },
              unique: [],
              blocked: [],
              trustsForms: false,
              aliasJoinsUsers: true,
              maxAtoms: 1_000,
            },
            currency: "EUR",
            allowThirdParty: false,
            maxEventsPerSecond: 5000,
            traits: {},
          },
        ],
        limits: { maxInFlightBytes: 67_108_864 },
        trustedProxies: [],
        retention: { logBytes: 536_870_912 },
      },
    });
  });

  it("is taken as it is when everything is said", () => {
    const config = {
      $schema: "./polder.schema.json",
      sites: [
        {
          ...site(),
          writeKeys: [
            {
              key: "pk_12345678",
              name: "website",
              basis: { purposes: ["measurement"], basis: "consent_elsewhere", reason: "The banner of the shop asks." },
              notBefore: "2026-01-01T00:00:00Z",
              notAfter: "2027-01-01T00:00:00+01:00",
            },
          ],
          serverKeys: [
            serverKey({
              basis: { purposes: ["measurement", "profile"], basis: "contract", reason: "Orders." },
              origins: ["observed", "third_party"],
            }),
          ],
          cookieDomain: "shop.example",
          consent: {
            regimes: { default: "notice", DE: "opt_in" },
            grantDays: 180,
            refusalDays: 365,
            beforeChoice: { mode: "measurement", reason: "Article 11.7a, third paragraph: see the file on cookies." },
            purposes: {
              measurement: {
                en: { title: "Counting", text: "We count visits." },
                nl: { title: "Tellen", text: "Wij tellen bezoeken." },
              },
            },
            notice: {
              en: { title: "Your choice", text: "Shop asks to count.", links: [{ text: "More", href: "/privacy" }] },
              nl: { title: "Jouw keuze", text: "Shop wil tellen.", links: [] },
            },
          },
          retention: { anonymousDays: 90, knownDays: 730 },
          identity: {
            limits: {
              user_id: { max: 5, withinDays: 7 },
              email: { max: 2, withinDays: 365 },
              phone: { max: 1, withinDays: 1 },
            },
            priority: ["phone", "email"],
            unique: ["email"],
            blocked: ["till-1", "info@shop.example"],
            trustsForms: true,
            aliasJoinsUsers: false,
            maxAtoms: 50,
          },
          currency: "USD",
          allowThirdParty: true,
          maxEventsPerSecond: 10,
          traits: { shoe_size: { class: "descriptive", purpose: "personalisation", personal: false } },
        },
      ],
      limits: { maxInFlightBytes: 2_097_152 },
      trustedProxies: ["10.0.0.0/8", "::1", "2001:db8::/32"],
      countryHeader: "cf-ipcountry",
      retention: { logBytes: 33_554_432 },
    };
    expect(parse(config)).toEqual({ ok: true, config });
  });

  it("that says `regime` of a site, as files of an earlier version do, is read as if it said the new setting", () => {
    expect(parse({ sites: [site({ regime: "opt_out" })] })).toEqual(
      parse({ sites: [site({ consent: { regimes: { default: "opt_out" } } })] }),
    );
  });

  it.each([
    ["{}", "sites: is missing: The sites whose events are taken."],
    [{ sites: [] }, "sites: needs at least one item."],
    [{ sites: {} }, "sites: must be a list, not an object."],
    [[], ": must be an object, not a list."],
    [{ sites: [site()], trustedProxy: [] }, "trustedProxy: is no setting: did you mean `trustedProxies`?"],
    [{ sites: [site({ timeZone: "UTC" })] }, "sites[0].timeZone: is no setting: did you mean `timezone`?"],
    [{ sites: [site()], limits: { colour: 1 } }, "limits.colour: is no setting: use one of maxInFlightBytes."],
    [{ sites: [site({ id: "Shop" })] }, "sites[0].id: must be 1 to 63 small letters, digits and hyphens."],
    [{ sites: [site({ name: 7 })] }, "sites[0].name: must be a text, not a number."],
    [
      { sites: [site({ timezone: "Amsterdam" })] },
      "sites[0].timezone: must be an IANA zone, as Europe/Amsterdam or UTC.",
    ],
    [
      { sites: [site({ timezone: "Europe/Atlantis" })] },
      "sites[0].timezone: must be an IANA zone, as Europe/Amsterdam or UTC.",
    ],
    [{ sites: [site({ timezone: "+01:00" })] }, "sites[0].timezone: must be an IANA zone, as Europe/Amsterdam or UTC."],
    [{ sites: [site({ timezone: "europe/amsterdam" })] }, "sites[0].timezone: must be written Europe/Amsterdam."],
    [
      { sites: [site({ origins: ["https://shop.example/"] })] },
      "sites[0].origins[0]: must be an origin without a path: write https://shop.example.",
    ],
    [
      { sites: [site({ origins: ["shop.example"] })] },
      "sites[0].origins[0]: must be an origin, as https://shop.example, without a path.",
    ],
    [
      { sites: [site({ origins: ["*", "https://shop.example"] })] },
      'sites[0].origins: has "*" beside others: leave "*" out, or leave the others out.',
    ],
    [{ sites: [site({ writeKeys: [] })] }, "sites[0].writeKeys: needs at least one item."],
    [
      { sites: [site({ writeKeys: [{ key: "sk_12345678" }] })] },
      "sites[0].writeKeys[0].key: must be pk_ and 8 to 64 letters, digits, _ or -.",
    ],
    [
      { sites: [site({ cookieDomain: ".shop.example" })] },
      "sites[0].cookieDomain: must be a domain in small letters without a leading dot, as example.com.",
    ],
    [
      { sites: [site({ consent: { regimes: { default: "strict" } } })] },
      "sites[0].consent.regimes.default: must be one of opt_in, opt_out, notice.",
    ],
    [
      { sites: [site({ consent: { regimes: { us: "opt_out" } } })] },
      "sites[0].consent.regimes.us: is no name that counts here: it must be default, or a country in two capitals, as US.",
    ],
    [
      { sites: [site({ consent: { regimes: { EU: "opt_in" } } })] },
      "sites[0].consent.regimes.EU: is no country: name each of its countries, as DE, or leave the EU to `default`.",
    ],
    [
      { sites: [site({ consent: { regimes: { UK: "opt_in" } } })] },
      "sites[0].consent.regimes.UK: is no country of ISO 3166: write GB.",
    ],
    [
      { sites: [site({ consent: { regimes: { XX: "opt_in" } } })] },
      "sites[0].consent.regimes.XX: is no country of ISO 3166, so no visitor would ever come from it: write its code, as US.",
    ],
    [
      { sites: [site({ consent: { purposes: { ads: { nl: { title: "A", text: "A\ud800." } } } } })] },
      "sites[0].consent.purposes.ads.nl.text: holds half of a character (a surrogate without its other half), which cannot be stored: write it anew.",
    ],
    [
      { sites: [site({ consent: { grantDays: 366 } })] },
      "sites[0].consent.grantDays: must be a whole number from 1 to 365.",
    ],
    [
      { sites: [site({ consent: { purposes: { marketing: { en: { title: "a", text: "b" } } } } })] },
      "sites[0].consent.purposes.marketing: is no name that counts here: it must be one of necessary, measurement, profile, personalisation, prediction, ads.",
    ],
    [
      { sites: [site({ consent: { purposes: { ads: { English: { title: "a", text: "b" } } } } })] },
      "sites[0].consent.purposes.ads.English: is no name that counts here: it must be a language, as nl or pt-BR.",
    ],
    [
      { sites: [site({ consent: { refusalDays: 183 } })] },
      "sites[0].consent.refusalDays: must be a whole number from 184 to 730.",
    ],
    [
      { sites: [site({ consent: { beforeChoice: { mode: "all" } } })] },
      "sites[0].consent.beforeChoice.mode: must be one of silent, buffer, measurement.",
    ],
    [
      {
        sites: [
          site(),
          site({ id: "b", writeKeys: [{ key: "pk_87654321" }], consent: { beforeChoice: { mode: "buffer" } } }),
        ],
      },
      "sites[1].consent.beforeChoice.reason: is missing: say why buffer may be before a choice, on what law or exception the site relies. It is kept on record.",
    ],
    [
      { sites: [site({ consent: { beforeChoice: { mode: "measurement", reason: " " } } })] },
      "sites[0].consent.beforeChoice.reason: must be a sentence.",
    ],
    [
      {
        sites: [
          site({
            consent: {
              purposes: { ads: { en: { title: "a", text: "b" }, nl: { title: "a", text: "b" } } },
              notice: { nl: { title: "a", text: "b" } },
            },
          }),
        ],
      },
      "sites[0].consent.notice: has no text in en, which the purposes have: both need the same languages.",
    ],
    [
      { sites: [site({ consent: { notice: { nl: { title: "a", text: "b" } } } })] },
      "sites[0].consent.notice.nl: is a language that no purpose has a text in: add it to purposes, or leave it out.",
    ],
    ...["javascript:alert(1)", "//elsewhere.example", "privacy"].map((href): [object, string] => [
      {
        sites: [
          site({
            consent: {
              purposes: { ads: { nl: { title: "a", text: "b" } } },
              notice: { nl: { title: "a", text: "b", links: [{ text: "c", href }] } },
            },
          }),
        ],
      },
      "sites[0].consent.notice.nl.links[0].href: must be an address, as https://shop.example/privacy, or a path of the site, as /privacy.",
    ]),
    [{ sites: [site({ consent: { purposes: { ads: {} } } })] }, "sites[0].consent.purposes.ads: needs at least one."],
    [
      { sites: [site({ consent: { purposes: { ads: { en: { title: " ", text: "b" } } } } })] },
      "sites[0].consent.purposes.ads.en.title: must be a text.",
    ],
    [
      {
        sites: [
          site({
            consent: {
              purposes: {
                ads: { en: { title: "a", text: "b" } },
                profile: { nl: { title: "a", text: "b" }, en: { title: "a", text: "b" } },
              },
            },
          }),
        ],
      },
      "sites[0].consent.purposes.ads: has no text in nl, which other purposes have: every purpose needs the same languages.",
    ],
    [
      { sites: [site({ regime: "opt_in", consent: {} })] },
      "sites[0].regime: is no setting: use one of id, name, timezone, origins, writeKeys, serverKeys, cookieDomain, consent, retention, identity, currency, allowThirdParty, maxEventsPerSecond, traits.",
    ],
    [
      { sites: [site({ regime: "strict" })] },
      "sites[0].consent.regimes.default: must be one of opt_in, opt_out, notice.",
    ],
    [
      { sites: [site({ identity: { limits: { email: { max: 0 } } } })] },
      "sites[0].identity.limits.email.max: must be a whole number from 1 to 100000.",
    ],
    [
      { sites: [site({ identity: { priority: ["name"] } })] },
      "sites[0].identity.priority[0]: must be one of email, phone.",
    ],
    [
      { sites: [site({ retention: { anonymousDays: 29 } })] },
      "sites[0].retention.anonymousDays: must be a whole number from 30 to 36500.",
    ],
    [
      { sites: [site({ retention: { anonymousDays: 90, knownDays: 89 } })] },
      "sites[0].retention.knownDays: is less than anonymousDays: known visitors are kept at least as long.",
    ],
    [{ sites: [site({ currency: "eur" })] }, "sites[0].currency: must be an ISO 4217 code, as EUR."],
    [
      { sites: [site({ maxEventsPerSecond: 0.5 })] },
      "sites[0].maxEventsPerSecond: must be a whole number from 1 to 1000000.",
    ],
    [{ sites: [site({ allowThirdParty: "no" })] }, "sites[0].allowThirdParty: must be true or false, not a string."],
    [
      { sites: [site(), site({ writeKeys: [{ key: "pk_87654321" }] })] },
      "sites[1].id: is the same as sites[0].id: each must be used once.",
    ],
    [
      { sites: [site(), site({ id: "other" })] },
      "sites[1].writeKeys[0].key: is the same as sites[0].writeKeys[0].key: each must be used once.",
    ],
    [
      { sites: [site({ serverKeys: [serverKey({ origins: ["third_party"] })] })] },
      "sites[0].serverKeys[0].origins: has third_party, which the site does not take: set allowThirdParty, or leave it out.",
    ],
    [
      {
        sites: [
          site({ serverKeys: [serverKey({ notBefore: "2026-02-01T00:00:00Z", notAfter: "2026-01-01T00:00:00Z" })] }),
        ],
      },
      "sites[0].serverKeys[0].notAfter: must be later than notBefore: the key would never count.",
    ],
    [
      { sites: [site({ serverKeys: [serverKey({ notAfter: "2026-01-01" })] })] },
      "sites[0].serverKeys[0].notAfter: must be a time with a zone, as 2026-11-22T00:00:00Z.",
    ],
    [
      { sites: [site()], trustedProxies: ["10.0.0.0/33"] },
      "trustedProxies[0]: must be an address or a range, as 10.0.0.0/8.",
    ],
    [
      { sites: [site()], trustedProxies: ["proxy.example"] },
      "trustedProxies[0]: must be an address or a range, as 10.0.0.0/8.",
    ],
  ])("is refused with where and why (%#)", (config, problem) => {
    expect(problemsOf(config)).toEqual([problem]);
  });

  it("tells everything that is wrong at once", () => {
    expect(problemsOf({ sites: [site({ id: "", currency: "X" }), { id: "b" }] })).toHaveLength(6);
  });

  it("that is not JSON says where, and quotes nothing of the file", () => {
    expect(problemsOf('{\n  "sites": [pk_secret]\n}')).toEqual([
      ": is not JSON: line 2, column 13. A missing or trailing comma, a quote, or a comment?",
    ]);
    expect(problemsOf('{"sites"')).toHaveLength(1);
  });

  it("with a server key in the place of its hash does not repeat it", () => {
    const problems = problemsOf({ sites: [site({ serverKeys: [serverKey({ hash: "sk_very_secret" })] })] });
    expect(problems).toEqual([
      "sites[0].serverKeys[0].hash: must be 64 small hex digits: the SHA-256 of the key, not the key.",
    ]);
  });

  it("may start with a byte order mark", () => {
    expect(parse(`\ufeff${JSON.stringify({ sites: [site()] })}`).ok).toBe(true);
  });

  it("never makes the parser throw, whatever is in it", () => {
    const small = hostileJson.filter((text) => text.length < 10_000);
    checkProperty(
      fc.property(
        small,
        fc.constantFrom("sites", "retention", "limits", "__proto__", "trustedProxies"),
        (value, name) => {
          expect(parse(value).ok).toBe(false);
          expect(parse(`{"sites":[${value}],"${name}":${value}}`).ok).toBe(false);
        },
      ),
    );
  });
});

describe("the schema of the configuration", () => {
  const schema = configJsonSchema() as {
    required: string[];
    properties: {
      [name: string]: { items?: { required: string[]; properties: object; additionalProperties: boolean } };
    };
  };

  it("asks for sites only, and refuses what it does not know", () => {
    expect(schema).toMatchObject({ type: "object", required: ["sites"], additionalProperties: false });
    expect(schema.properties.sites?.items?.required).toEqual(["id", "name", "timezone", "origins", "writeKeys"]);
    expect(schema.properties.sites?.items?.additionalProperties).toBe(false);
  });

  it("describes every setting, and its default", () => {
    const bare = JSON.stringify(schema, (_, value: unknown) => value).match(/"description":""/g);
    expect(bare).toBeNull();
    expect(schema.properties.sites?.items?.properties).toMatchObject({
      consent: {
        properties: {
          regimes: {
            additionalProperties: { enum: ["opt_in", "opt_out", "notice"] },
            propertyNames: { pattern: "^(?:default|[A-Z]{2})$" },
          },
          purposes: { additionalProperties: { minProperties: 1 } },
        },
      },
    });
  });
});
