import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { PolderConfig, SiteConfig } from "@polder/core";
import { readConfigFile, writeConfigFile } from "./config-file.ts";
import { newWriteKey } from "./keys.ts";

export const demoSiteId = "shop";

/** What visitors are told, as in `consent` of a site's configuration. */
export type Asked = Pick<SiteConfig["consent"], "notice" | "purposes">;

const demoAsked: Asked = {
  notice: {
    en: {
      title: "May we remember your visit?",
      text: "Slootkant asks to count visits, to remember what you look at and order here, and to see which advertisement brought you. After a no nothing is stored or sent, and the shop works the same. You can change your mind at the bottom of every page.",
      links: [{ text: "What we know about you", href: "/privacy" }],
    },
    nl: {
      title: "Mogen we je bezoek onthouden?",
      text: "Slootkant wil bezoeken tellen, onthouden wat je hier bekijkt en bestelt, en zien welke advertentie je hier bracht. Na een nee wordt er niets bewaard of verstuurd, en werkt de winkel net zo. Onderaan elke pagina kun je je bedenken.",
      links: [{ text: "Wat we van je weten (Engels)", href: "/privacy" }],
    },
  },
  purposes: {
    measurement: {
      en: { title: "Count visits", text: "How many people see a page. Without any name or number of yours." },
      nl: { title: "Bezoeken tellen", text: "Hoeveel mensen een pagina zien. Zonder naam of nummer van jou." },
    },
    profile: {
      en: {
        title: "Remember what I do here",
        text: "Your visits, clicks, forms and orders as one story under a random number on this device, for a year.",
      },
      nl: {
        title: "Onthouden wat ik hier doe",
        text: "Je bezoeken, klikken, formulieren en bestellingen als één verhaal, onder een willekeurig nummer op dit apparaat, een jaar lang.",
      },
    },
    ads: {
      en: {
        title: "See which advertisement brought me",
        text: "The number that an advertisement puts in the address of the first page. Nobody else gets it from us.",
      },
      nl: {
        title: "Zien welke advertentie mij bracht",
        text: "Het nummer dat een advertentie in het adres van de eerste pagina zet. Niemand anders krijgt het van ons.",
      },
    },
  },
};

/** A configuration of one's own may have no texts yet, and a shop that asks for nothing could show nothing. */
export const withTexts = <Consent extends Asked>(consent: Consent): Consent => ({
  ...consent,
  notice: Object.keys(consent.notice).length === 0 ? demoAsked.notice : consent.notice,
  purposes: Object.keys(consent.purposes).length === 0 ? demoAsked.purposes : consent.purposes,
});

/** Both names of this machine: to a browser they are two origins. */
export const originsOfPort = (port: number): string[] => [`http://localhost:${port}`, `http://127.0.0.1:${port}`];

/** Makes the demo's configuration when it is not there yet; keys stay the same over restarts. */
export async function ensureDemoConfig(path: string, shopPort: number): Promise<PolderConfig> {
  if (!existsSync(path)) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const config = {
      sites: [
        {
          id: demoSiteId,
          name: "Slootkant, the demo shop",
          timezone: "Europe/Amsterdam",
          origins: originsOfPort(shopPort),
          writeKeys: [{ key: newWriteKey(), name: "shop pages" }],
          consent: { regimes: { default: "opt_in" }, ...demoAsked },
          currency: "EUR",
        },
      ],
    };
    await writeConfigFile(path, config, 0o600);
  }
  return readConfigFile(path);
}

/** The same configuration with these origins allowed as well: the shop may have another port today. */
export const withOrigins = (config: PolderConfig, siteId: string, origins: readonly string[]): PolderConfig => ({
  ...config,
  sites: config.sites.map((site) =>
    site.id === siteId && !site.origins.includes("*")
      ? { ...site, origins: [...new Set([...site.origins, ...origins])] }
      : site,
  ),
});
