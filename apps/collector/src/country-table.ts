import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Reader } from "mmdb-lib";

interface CountryEntry {
  country_code: string;
}

/** The CC0 table of networks and countries, 8 MB in memory. The answer is ISO 3166 alpha-2 of an address, empty when the table does not know. */
export function readCountryTable(): (ip: string) => string {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve("@ip-location-db/geo-whois-asn-country-mmdb/package.json"));
  const table = new Reader(readFileSync(join(folder, "geo-whois-asn-country.mmdb"))) as unknown as {
    get(ip: string): CountryEntry | null;
  };
  return (ip) => {
    try {
      return table.get(ip)?.country_code ?? "";
    } catch {
      return "";
    }
  };
}
