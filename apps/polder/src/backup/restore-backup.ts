import { existsSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CommandError } from "../cli/exit-code.ts";
import { bringRefusals, type BringRefusalsOptions, type BroughtRefusals } from "./bring-refusals.ts";
import { erasureListName } from "../erasure-list-file.ts";
import { copyFile } from "./copy-file.ts";
import { copyFolder, syncFolder } from "./copy-folder.ts";
import { manifestName, readManifest, type Manifest } from "./manifest.ts";
import { placeOf, putInPlace } from "./put-in-place.ts";

export interface RestoreOptions extends BringRefusalsOptions {
  /** A folder that `makeBackup` made. */
  from: string;
  /** Made by this; must not be there, or be empty. */
  dataPath: string;
  say: (note: string) => void;
}

export interface Restored extends BroughtRefusals {
  manifest: Manifest;
}

/**
 * Makes a data folder out of a backup, checked byte by byte, with what visitors refuse since. It is there as a whole or not at all. The configuration
 * is put into it as `polder.config.json`, for whoever has lost their own.
 */
export async function restoreBackup({ from, dataPath, say, ...options }: RestoreOptions): Promise<Restored> {
  const manifest = await readManifest(from);
  if (existsSync(dataPath) && (await readdir(dataPath)).length > 0)
    throw new CommandError(
      `${dataPath} is not empty, and nothing is overwritten here. Move it away first, as with \`mv ${dataPath} ${dataPath}.before\`; with ` +
        `--choices-from ${dataPath}.before what visitors have chosen since the backup goes on counting.`,
    );
  const place = await placeOf(dataPath);
  const draft = `${place}.${process.pid}.partial`;
  await mkdir(draft, { recursive: true, mode: 0o700 });
  try {
    let done = 0;
    for (const { path, bytes, sha256 } of manifest.files) {
      say(`${++done} of ${manifest.files.length} files`);
      const target = join(draft, path);
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      if (!existsSync(join(from, path))) throw damaged(from, path, "is missing");
      const copied = await copyFile(join(from, path), target);
      if (copied.bytes !== bytes || copied.sha256 !== sha256)
        throw damaged(from, path, "is not what it was when the backup was made");
    }
    // Links, and folders without a file in them: what a server expects to find.
    const known = new Set(manifest.files.map(({ path }) => path));
    await copyFolder(from, draft, { isWanted: (path) => !known.has(path) && path !== manifestName });
    const erasures = options.choicesFrom === undefined ? undefined : join(options.choicesFrom, erasureListName);
    if (erasures !== undefined && existsSync(erasures)) await copyFile(erasures, join(draft, erasureListName));
    say("what visitors chose");
    const brought = await bringRefusals(draft, options);
    await syncFolder(draft);
    await putInPlace(draft, place);
    return { manifest, ...brought };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

const damaged = (from: string, path: string, how: string): CommandError =>
  new CommandError(`The backup in ${from} is damaged: ${path} ${how}. Nothing was restored: take another backup.`);
