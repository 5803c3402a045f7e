import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, messageOf } from "../cli/exit-code.ts";
import type { CopiedFile } from "./copy-file.ts";

/** What a backup says of itself: written last, so that a folder without one is no backup. */
export interface Manifest {
  format: 1;
  /** Version of the program that made it. */
  version: string;
  /** ISO 8601. */
  madeAt: string;
  database: string;
  /** Rows by table. */
  rows: { readonly [table: string]: number };
  files: readonly CopiedFile[];
}

/** What is told at the end. */
export interface BackupSummary {
  events: number;
  bytes: number;
}

export const summaryOf = ({ rows, files }: Manifest): BackupSummary => ({
  events: rows["events"] ?? 0,
  bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
});

export const manifestName = "backup.json";

export const writeManifest = (folder: string, manifest: Manifest): Promise<void> =>
  writeFile(join(folder, manifestName), `${JSON.stringify(manifest, null, 1)}\n`, { mode: 0o600, flush: true });

/** @throws {CommandError} when there is no backup, or one of another format. */
export async function readManifest(folder: string): Promise<Manifest> {
  let manifest: Partial<Manifest>;
  try {
    manifest = JSON.parse(await readFile(join(folder, manifestName), "utf8")) as Partial<Manifest>;
  } catch (error) {
    throw new CommandError(
      `${folder} is no backup: its ${manifestName} cannot be read (${messageOf(error)}). Give the folder that \`polder backup\` made.`,
    );
  }
  if (manifest.format !== 1)
    throw new CommandError(
      `The backup in ${folder} has the format ${String(manifest.format)}, which this version does not know. Restore it with the version that made it: ${manifest.version ?? "not stated"}.`,
    );
  return manifest as Manifest;
}
