import type { Regime } from "@polder/protocol";

/** Of the shape that the collector's directory gives for a site: one that takes events of https://shop.example. */
export function buildSite<Overrides extends object = object>(overrides?: Overrides) {
  const site = {
    id: "shop",
    name: "Demo shop",
    timezone: "Europe/Amsterdam",
    origins: ["https://shop.example"] as readonly string[],
    regime: "opt_in" as Regime,
    regimes: new Map<string, Regime>(),
    grantLifetimeMs: 365 * 24 * 3_600_000,
    refusalLifetimeMs: 184 * 24 * 3_600_000,
    beforeChoice: { mode: "silent" as "silent" | "buffer" | "measurement" },
    currentTexts: {},
    notices: [],
    allowThirdParty: false,
    maxEventsPerSecond: 5000,
    traits: {},
    currency: "EUR",
    retention: { anonymousDays: 395, knownDays: 1_125 },
    identity: {
      limits: {
        user_id: { max: 100, withinDays: 30 },
        email: { max: 10, withinDays: 30 },
        phone: { max: 10, withinDays: 30 },
      },
      priority: ["email", "phone"] as readonly ("email" | "phone")[],
      unique: [] as readonly ("email" | "phone")[],
      blocked: [] as readonly string[],
      trustsForms: false,
      aliasJoinsUsers: true,
      maxAtoms: 1_000,
    },
  };
  return { ...site, ...overrides } as typeof site & Overrides;
}
