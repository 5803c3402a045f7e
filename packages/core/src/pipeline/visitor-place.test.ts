import { buildEvent, buildPage, buildSite, builtAt } from "@polder/testing";
import type { PolderEvent, Regime } from "@polder/protocol";
import { describe, expect, it } from "vitest";
import { createPipeline, type PipelineResult } from "./pipeline.ts";
import type { RequestContext } from "./step.ts";
import { regimeIn } from "./visitor-place.ts";

const regimes = (entries: { [country: string]: Regime }): ReadonlyMap<string, Regime> =>
  new Map(Object.entries(entries));

describe("the regime of a visitor", () => {
  const site = { regime: "notice" as Regime, regimes: regimes({ US: "opt_out", NL: "opt_in" }) };

  it("is that of the country, else the site's own, and the strictest of all where the country is not known", () => {
    expect(["US", "NL", "BR", ""].map((country) => regimeIn(site, country))).toEqual([
      "opt_out",
      "opt_in",
      "notice",
      "opt_in",
    ]);
    expect(regimeIn({ regime: "opt_out", regimes: regimes({ BR: "notice" }) }, "")).toBe("opt_out");
    expect(regimeIn({ regime: "opt_out", regimes: regimes({}) }, "")).toBe("opt_out");
  });
});

describe("an event without a choice, where regimes differ by country", () => {
  const site = buildSite({ regimes: regimes({ US: "opt_out" }) });
  const pipeline = createPipeline({
    ledger: { latest: () => undefined, timesOf: () => undefined },
    countryOf: (ip) => (ip.startsWith("192.") ? "US" : ip.startsWith("145.") ? "NL" : ""),
    newId: () => "made-id",
  });
  const run = (event: PolderEvent, context: Partial<RequestContext>): PipelineResult =>
    pipeline.run(event, {
      key: { site, kind: "write" },
      receivedAt: Date.parse(builtAt),
      ip: "",
      country: "",
      userAgent: "",
      gpc: false,
      cookieAnonymousId: () => "",
      cookieRefusesMeasurement: () => false,
      choices: [],
      ...context,
    });
  const silent = buildPage({ context: { page: { url: "https://shop.example/" } } });
  const outcome = (context: Partial<RequestContext>, event = silent): string => {
    const result = run(event, context);
    return result.ok ? `${result.row.regime} ${result.row.basis} ${result.row.country}` : result.reason;
  };

  it("is kept from where that is the law, and from nowhere else", () => {
    expect(outcome({ ip: "192.0.2.1" })).toBe("opt_out opt_out US");
    expect(outcome({ ip: "145.97.39.155" })).toBe("no_consent");
    expect(outcome({ ip: "" })).toBe("no_consent");
  });

  it("follows the country that an edge states", () => {
    expect(outcome({ ip: "145.97.39.155", country: "us" })).toBe("opt_out opt_out US");
    expect(outcome({ ip: "192.0.2.1", country: "NL" })).toBe("no_consent");
    expect(outcome({ ip: "192.0.2.1", country: "XX" })).toBe("opt_out opt_out US");
  });

  it("is judged by each event's own country where a server speaks for several visitors", () => {
    const key = { site, kind: "server" as const };
    const from = (ip: string) => buildEvent({ context: { ip } });
    expect(outcome({ key }, from("192.0.2.1"))).toBe("opt_out opt_out US");
    expect(outcome({ key }, from("145.97.39.155"))).toBe("no_consent");
    expect(outcome({ key, ip: "192.0.2.1" }, from(""))).toBe("no_consent");
  });

  it("never has a looser regime than its stamp says", () => {
    const strict = buildPage({ context: { consent: { v: 1, id: "c", purposes: {}, regime: "opt_in" } } });
    expect(outcome({ ip: "192.0.2.1" }, strict)).toBe("no_consent");
  });
});
