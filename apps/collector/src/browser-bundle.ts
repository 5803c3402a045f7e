import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { browserScripts } from "@polder/protocol";

/** A file that pages load with a tag. */
export interface BrowserScript {
  name: string;
  script: Uint8Array;
  /** Undefined: no map is served. */
  sourceMap?: Uint8Array;
}
export type BrowserBundle = readonly BrowserScript[];

/** The scripts as `npm run build` leaves them in the package `@polder/browser`. Throws an error that says so when one is not there. */
export const readBrowserBundle = (folder = bundleFolder()): BrowserBundle =>
  Object.keys(browserScripts).map((name) => {
    const script = join(folder, name);
    try {
      return { name, script: readFileSync(script), sourceMap: readFileSync(`${script}.map`) };
    } catch (error) {
      const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
      throw new Error(`Cannot read the browser script ${script} (${reason}): run \`npm run build\` first.`, {
        cause: error,
      });
    }
  });

// The entry is in `dist`, or in `src` where packages are read from source; the script is built in either case.
const bundleFolder = (): string =>
  join(dirname(createRequire(import.meta.url).resolve("@polder/browser")), "..", "dist");

/** Value of an `integrity` attribute. */
export const sriOf = (script: Uint8Array): string => `sha384-${createHash("sha384").update(script).digest("base64")}`;
