import { mkdir, open, readdir, readlink, symlink } from "node:fs/promises";
import { join } from "node:path";
import { copyFile, type CopiedFile } from "./copy-file.ts";

export interface CopyFolderOptions {
  /** Of a path below `from`; everything when not given. */
  isWanted?: (path: string) => boolean;
  /** Files that are gone by the time that their turn comes are left out, as those of a server that tidies up. */
  mayVanish?: boolean;
}

/**
 * Copies what is in a folder, links as links, and resolves when it is on the disk with the files, by their path below `to`. A folder that is not there
 * is an empty one.
 */
export async function copyFolder(
  from: string,
  to: string,
  { isWanted = () => true, mayVanish = false }: CopyFolderOptions = {},
): Promise<CopiedFile[]> {
  const copied: CopiedFile[] = [];
  const copy = async (below: string): Promise<void> => {
    const entries = await readdir(join(from, below), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" && below === "") return [];
      throw error;
    });
    if (entries.length > 0 || below !== "") await mkdir(join(to, below), { recursive: true, mode: 0o700 });
    for (const entry of entries) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (!isWanted(path)) continue;
      if (entry.isSymbolicLink()) await symlink(await readlink(join(from, path)), join(to, path));
      else if (entry.isDirectory()) await copy(path);
      else if (entry.isFile()) {
        const file = await copyFile(join(from, path), join(to, path)).catch((error: NodeJS.ErrnoException) => {
          if (mayVanish && error.code === "ENOENT") return undefined;
          throw error;
        });
        if (file !== undefined) copied.push({ path, ...file });
      }
    }
    if (entries.length > 0) await syncFolder(join(to, below));
  };
  await copy("");
  return copied;
}

/** A file is there after a power cut only when its folder was written too. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
