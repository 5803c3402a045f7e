import { readFileSync } from "node:fs";

/** Of this program. The same file from the sources and from what was built of them. */
export const readVersion = (): string =>
  (JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }).version;
