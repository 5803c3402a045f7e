import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Logger } from "@polder/core";
import { restoreBackup } from "../backup/restore-backup.ts";
import { configFileName, findConfigFile, readConfigFile } from "../config-file.ts";
import { ownerOf, takeDataFolder } from "../data-folder.ts";
import { openLogFile } from "../log-file.ts";
import { openStore } from "../open-store.ts";
import { readSettings, settingFlags, type Settings } from "../settings.ts";
import { readFlags, type Command } from "./command.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import { createProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

const help = `Makes a data folder of what \`polder backup\` made, checked byte by byte. The folder must not be there: nothing is overwritten.

Usage: polder restore <backup> [options]

  --data <folder>           What to make. Default: .polder (POLDER_DATA).
  --choices-from <folder>   The data folder of before, or what is left of it: what visitors have chosen since the backup goes on counting, and
                            what they refuse by it is removed again when Polder starts. Whoever was erased since stays erased.
  --config <path>           With the sites. Default: polder.config.json here, else the one in the backup.

What was answered to clients after the backup, and was in no other copy, is lost. Clients that send it again are stored once.`;

export const restoreCommand: Command = {
  name: "restore",
  summary: "Make a data folder of a backup",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(
      args,
      { data: settingFlags.data, config: settingFlags.config, "choices-from": { type: "string" } },
      { positionals: 1 },
    );
    const { terminal, cwd, now } = context;
    const settings = readSettings({ flags: values, env: context.env, cwd });
    const [from] = positionals;
    if (from === undefined) throw new UsageError("Say which backup: polder restore <backup>.");
    if (settings.clickhouse !== undefined)
      throw new CommandError(
        "The tables are in the ClickHouse server in CLICKHOUSE_URL, which has a RESTORE command of its own: docs/operations.md says how.",
      );
    const { dataPath } = settings;
    const owner = await ownerOf(dataPath);
    if (owner !== undefined)
      throw new CommandError(`Polder is running on ${dataPath} (process ${owner}). Stop it, and move the folder away.`);
    const before = values["choices-from"];
    const choicesFrom = before === undefined ? undefined : resolve(cwd, before);
    if (choicesFrom !== undefined && !existsSync(join(choicesFrom, "consent", "data.mdb")))
      throw new CommandError(`There is no consent ledger in ${choicesFrom}: name a data folder of Polder.`);
    const backup = resolve(cwd, from);
    const zones = readZones(settings, backup, cwd);

    const progress = createProgress(terminal, now);
    const { manifest, chosen, refusals } = await progress.step("Data folder", (say) =>
      restoreBackup({
        from: backup,
        dataPath,
        choicesFrom,
        timezoneOf: (site) => zones.get(site),
        hasOwnLog: settings.kafka === undefined,
        now,
        logger: loggerTo(terminal),
        say,
      }),
    );
    const folder = await takeDataFolder(dataPath);
    const logFile = openLogFile(dataPath, { now, onTrouble: (_level, text) => terminal.err(text) });
    try {
      const store = await openStore({
        settings: { ...settings, database: manifest.database },
        progress,
        loggerOf: logFile.loggerOf,
      });
      await store.close();
    } finally {
      await logFile.close();
      await folder.release();
    }
    if (choicesFrom !== undefined) terminal.out(`  ${visitors(chosen)} chosen since.`);
    if (refusals > 0)
      terminal.out(
        `  ${visitors(refusals)} refused something that the backup's log does not know of: what is stored against it is removed after the start.`,
      );
    terminal.out(
      `  ${(manifest.rows["events"] ?? 0).toLocaleString("en")} events, as they were at ${manifest.madeAt}. Start with \`npx polder start\`.`,
    );
    return exitCode.done;
  },
};

const visitors = (count: number): string =>
  `${count.toLocaleString("en")} ${count === 1 ? "visitor has" : "visitors have"}`;

/** By site, from the configuration at hand, else the one in the backup. Read before anything is made: a fault in it is the easiest to mend. */
function readZones(settings: Settings, backup: string, cwd: string): ReadonlyMap<string, string> {
  const copied = join(backup, configFileName);
  const path = findConfigFile({ ...settings, dataPath: backup }, cwd) ?? (existsSync(copied) ? copied : undefined);
  return new Map(path === undefined ? [] : readConfigFile(path).sites.map(({ id, timezone }) => [id, timezone]));
}

const loggerTo = ({ err }: Terminal): Logger => ({
  info() {},
  warn: (message) => err(message),
  error: (message) => err(message),
});
