import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Logger } from "@polder/core";
import { carryOverChoices, createLmdbLog } from "@polder/lmdb";
import { restoreBackup } from "../backup/restore-backup.ts";
import { withdrawalRecords } from "../backup/withdrawal-records.ts";
import { findConfigFile, readConfigFile } from "../config-file.ts";
import { ownerOf, takeDataFolder } from "../data-folder.ts";
import { openLogFile } from "../log-file.ts";
import { openStore } from "../open-store.ts";
import { readSettings, settingFlags, type Settings } from "../settings.ts";
import { readFlags, type Command, type CommandContext } from "./command.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import { createProgress } from "./progress.ts";

const help = `Makes a data folder of what \`polder backup\` made, checked byte by byte. The folder must not be there: nothing is overwritten.

Usage: polder restore <backup> [options]

  --data <folder>           What to make. Default: .polder (POLDER_DATA).
  --choices-from <folder>   The data folder of before, or what is left of it: what visitors have chosen since the backup goes on counting, and
                            what they withdrew is removed again when Polder starts.
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
    const ledger = before === undefined ? undefined : resolve(cwd, before, "consent");
    if (ledger !== undefined && !existsSync(join(ledger, "data.mdb")))
      throw new CommandError(`There is no consent ledger in ${resolve(cwd, before!)}: name a data folder of Polder.`);

    const progress = createProgress(terminal, now);
    const manifest = await progress.step("Data folder", (say) =>
      restoreBackup({ from: resolve(cwd, from), dataPath, say }),
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
      if (ledger !== undefined) await carryOver(ledger, settings, context, logFile.loggerOf("restore"));
    } finally {
      await logFile.close();
      await folder.release();
    }
    terminal.out(
      `  ${(manifest.rows["events"] ?? 0).toLocaleString("en")} events, as they were at ${manifest.madeAt}. Start with \`npx polder start\`.`,
    );
    return exitCode.done;
  },
};

/** What visitors have chosen since: it counts at once, and what they withdrew is put into the log, for the worker. */
async function carryOver(ledger: string, settings: Settings, context: CommandContext, logger: Logger): Promise<void> {
  const { terminal, cwd, now } = context;
  const own = join(settings.dataPath, "polder.config.json");
  const configPath = findConfigFile(settings, cwd) ?? (existsSync(own) ? own : undefined);
  const { visitors, withdrawals } = await carryOverChoices(ledger, join(settings.dataPath, "consent"));
  const zones = new Map(
    configPath === undefined ? [] : readConfigFile(configPath).sites.map(({ id, timezone }) => [id, timezone]),
  );
  const records = withdrawalRecords(withdrawals, now(), (site) => zones.get(site));
  // Kafka has them itself, as the events that they came with: the loader goes on from the tables.
  if (records.length > 0 && settings.kafka === undefined) {
    const log = createLmdbLog({ path: join(settings.dataPath, "log"), logger });
    try {
      await log.append("polder.events", records);
    } finally {
      await log.close();
    }
  }
  terminal.out(
    `  ${visitors} ${visitors === 1 ? "visitor has" : "visitors have"} chosen since, ${records.length} of them took something back.`,
  );
  const unknown = withdrawals.length - records.length;
  if (unknown > 0)
    terminal.err(
      `${unknown} withdrawals are of sites that are not in the configuration: their events are refused from here on, and what is stored of them stays. Name the configuration with --config and restore again.`,
    );
}
