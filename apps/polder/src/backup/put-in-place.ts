import { realpath, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf, CommandError } from "../cli/exit-code.ts";
import { syncFolder } from "./copy-folder.ts";

/** Where a folder lies: a link to an empty one is followed, so that what is made beside it is on the same disk. */
export const placeOf = (path: string): Promise<string> => realpath(path).catch(() => path);

/**
 * Renames a finished folder to the place that it is for, in one step.
 * @throws {CommandError} when something is there by now: it is left as it is.
 */
export async function putInPlace(draft: string, place: string): Promise<void> {
  await rename(draft, place).catch((error: unknown) => {
    if (codeOf(error) !== "ENOTEMPTY" && codeOf(error) !== "EEXIST") throw error;
    throw new CommandError(
      `${place} is not empty any more: somebody has begun to use it meanwhile. Nothing of it was changed.`,
    );
  });
  await syncFolder(dirname(place));
}
