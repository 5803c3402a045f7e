import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { PolderConfig } from "@polder/core";
import { readConfigFile, writeConfigFile } from "./config-file.ts";
import { newWriteKey } from "./keys.ts";

export const demoSiteId = "shop";

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
          consent: { regimes: { default: "opt_in" } },
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
