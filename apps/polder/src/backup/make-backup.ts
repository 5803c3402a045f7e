import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { freezeTables, type ClickHouse, type FrozenTable } from "@polder/clickhouse";
import { copyLmdbFolder } from "@polder/lmdb";
import { CommandError } from "../cli/exit-code.ts";
import { configFileName } from "../config-file.ts";
import { demoConfigPath } from "../settings.ts";
import { ledgerAtStart } from "./bring-refusals.ts";
import { copyFile, type CopiedFile } from "./copy-file.ts";
import { copyFolder, syncFolder } from "./copy-folder.ts";
import { writeManifest, type Manifest } from "./manifest.ts";
import { placeOf, putInPlace } from "./put-in-place.ts";

export interface BackupOptions {
  dataPath: string;
  /** Made by this; must not be there, or be empty. */
  to: string;
  /** Copied along, so that the keys of pages go on being known; undefined when there is none. */
  configPath: string | undefined;
  /** The embedded engine, with all rights. */
  clickhouse: ClickHouse;
  /** Runs `work` while nothing is being loaded, and no choice recorded: tables and what they remember of inserts have to be of one moment. */
  pausedWhile: <T>(work: () => Promise<T>) => Promise<T>;
  version: string;
  now: () => Date;
  say: (note: string) => void;
}

/**
 * Copies everything in the data folder as it is at one moment, while it is in use. Loading stands still while the tables are frozen and the log is copied,
 * so that the log says exactly what is in the tables: a restored loader neither misses nor repeats a record. Collectors take events all the time.
 */
export async function makeBackup(options: BackupOptions): Promise<Manifest> {
  const { dataPath, to, configPath, clickhouse, pausedWhile, version, now, say } = options;
  if (existsSync(to) && (await readdir(to)).length > 0)
    throw new CommandError(
      `${to} is not empty. Name a folder that is not there yet: every backup gets one of its own.`,
    );
  // A busy one is waited for.
  if (!(await clickhouse.isReachable(30_000)))
    throw new CommandError("The database engine does not answer, so nothing was copied. Try again in a moment.");

  const engineData = join(dataPath, "clickhouse", "data");
  const name = `backup_${randomUUID().replaceAll("-", "")}`;
  const shadow = join(engineData, "shadow", name);
  const place = await placeOf(to);
  const draft = `${place}.${process.pid}.partial`;
  const files: CopiedFile[] = [];
  const keep = async (folder: string, copied: Promise<CopiedFile[]>): Promise<void> => {
    for (const file of await copied) files.push({ ...file, path: `${folder}/${file.path}` });
  };
  const copyEnvironment = async (what: string, folder: string, as = folder): Promise<void> => {
    const from = join(dataPath, folder);
    if (!existsSync(join(from, "data.mdb"))) return;
    const aside = join(draft, `${as}.copy`);
    await copyLmdbFolder(what, from, aside);
    await keep(as, copyFolder(aside, join(draft, as), { isWanted: (path) => path === "data.mdb" }));
    await rm(aside, { recursive: true });
  };

  await mkdir(draft, { recursive: true, mode: 0o700 });
  try {
    say("copying what visitors chose");
    // Before the log, and once more after it: choices between the two are in the ledger and perhaps not in the log, and a restore tells them by that.
    await copyEnvironment("consent ledger", "consent", ledgerAtStart);
    say("waiting for the loader");
    const tables = await pausedWhile(async () => {
      say("freezing the tables");
      const frozen = await freezeTables(clickhouse, name);
      const own = new Set(frozen.map(({ folder }) => folder));
      await keep(
        "clickhouse/data",
        copyFolder(engineData, join(draft, "clickhouse/data"), { isWanted: isDefinition(own), mayVanish: true }),
      );
      say("copying the log");
      await copyEnvironment("log", "log");
      await copyEnvironment("spool", "spool");
      return frozen;
    });
    say("copying the tables");
    await keep("clickhouse/data", copyFolder(shadow, join(draft, "clickhouse/data")));
    // After the log: what it knows of visitors is newer, and a newer no is the stricter one.
    await copyEnvironment("consent ledger", "consent");
    const demo = demoConfigPath(dataPath);
    for (const path of new Set([demo, configPath])) {
      if (path === undefined || !existsSync(path)) continue;
      const file = path === demo ? basename(demo) : configFileName;
      files.push({ path: file, ...(await copyFile(path, join(draft, file))) });
    }
    const manifest: Manifest = {
      format: 1,
      version,
      madeAt: now().toISOString(),
      database: clickhouse.database,
      rows: await countRows(tables, join(draft, "clickhouse/data")),
      files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    };
    await writeManifest(draft, manifest);
    await syncFolder(draft);
    await putInPlace(draft, place);
    return manifest;
  } finally {
    await rm(draft, { recursive: true, force: true });
    await rm(shadow, { recursive: true, force: true });
  }
}

/** Of the engine's folder: the definitions of tables, and what lies in a table's folder beside its parts, as what it remembers of inserts. */
const isDefinition =
  (tables: ReadonlySet<string>) =>
  (path: string): boolean => {
    const [top = "", prefix, id, ...rest] = path.split("/");
    if (top === "metadata" || top === "user_defined" || top === "data") return true;
    if (top !== "store" || id === undefined) return top === "store";
    if (!tables.has(`store/${prefix}/${id}`)) return rest.length === 0 || (rest[0] ?? "").endsWith(".sql");
    const [first] = rest;
    return (
      first === undefined || first === "deduplication_logs" || /^(?:format_version|mutation_\d+)\.txt$/.test(first)
    );
  };

/** As the parts say it themselves. */
async function countRows(tables: readonly FrozenTable[], root: string): Promise<{ [table: string]: number }> {
  const rows: { [table: string]: number } = {};
  for (const { name, folder } of tables) {
    rows[name] = 0;
    for (const part of await readdir(join(root, folder), { withFileTypes: true })) {
      const count = join(root, folder, part.name, "count.txt");
      if (part.isDirectory() && existsSync(count)) rows[name] += Number(await readFile(count, "utf8"));
    }
  }
  return rows;
}
