import { resolve } from "node:path";
import { analystAccess, createClickHouse } from "@polder/clickhouse";
import { startEngine } from "@polder/engine";
import { makeBackup } from "../backup/make-backup.ts";
import { summaryOf, type BackupSummary } from "../backup/manifest.ts";
import { findConfigFile } from "../config-file.ts";
import { askControl } from "../control.ts";
import { ownerOf, takeDataFolder } from "../data-folder.ts";
import { openLogFile } from "../log-file.ts";
import { readSettings, settingFlags, type Settings } from "../settings.ts";
import { readVersion } from "../version.ts";
import { readFlags, type Command, type CommandContext } from "./command.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import { createProgress } from "./progress.ts";

const help = `Copies the data folder into a new folder, as it is at one moment: tables, log, what visitors chose, configuration. Polder may be running:
it goes on taking events, and loads none for some seconds. \`polder restore\` makes a data folder of it again.

Usage: polder backup <folder> [options]

  --data <folder>      What to copy. Default: .polder (POLDER_DATA).
  --config <path>      Copied along. Default: polder.config.json here. Of a Polder that runs: its own.

The copy holds personal data, as the data folder does: keep it as safe, and no longer than you have promised.
Of a ClickHouse server (CLICKHOUSE_URL) and of Kafka: docs/operations.md.`;

export const backupCommand: Command = {
  name: "backup",
  summary: "Copy everything that is stored, while it runs",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(
      args,
      { data: settingFlags.data, config: settingFlags.config },
      { positionals: 1 },
    );
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    if (positionals[0] === undefined) throw new UsageError("Say into which folder: polder backup <folder>.");
    if (settings.clickhouse !== undefined)
      throw new CommandError(
        "The tables are in the ClickHouse server in CLICKHOUSE_URL, which has a BACKUP command of its own: docs/operations.md says how.",
      );
    const to = resolve(context.cwd, positionals[0]);
    const isRunning = (await ownerOf(settings.dataPath)) !== undefined;
    const { terminal } = context;
    const summary = await createProgress(terminal, context.now).step(`Backup of ${settings.dataPath}`, async (say) =>
      isRunning
        ? ((await askControl(settings.dataPath, "backup", { to }, say)) as BackupSummary)
        : backUpStopped(settings, { to, say }, context),
    );
    terminal.out(`  ${summary.events.toLocaleString("en")} events, ${megabytes(summary.bytes)} in ${to}`);
    return exitCode.done;
  },
};

async function backUpStopped(
  settings: Settings,
  { to, say }: { to: string; say: (note: string) => void },
  { now, cwd, terminal }: CommandContext,
): Promise<BackupSummary> {
  const { dataPath, database } = settings;
  const folder = await takeDataFolder(dataPath);
  const logFile = openLogFile(dataPath, { now, onTrouble: (_level, text) => terminal.err(text) });
  try {
    const logger = logFile.loggerOf("engine");
    // Without migrations: it is copied as the version before left it.
    const engine = await startEngine({
      dataPath: engineFolder(dataPath),
      logger,
      analyst: { databases: [analystAccess(database)] },
    });
    const clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database, logger });
    try {
      return summaryOf(
        await makeBackup({
          dataPath,
          to,
          configPath: findConfigFile(settings, cwd),
          clickhouse,
          pausedWhile: (work) => work(),
          version: readVersion(),
          now,
          say,
        }),
      );
    } finally {
      await clickhouse.close();
      await engine.stop();
    }
  } finally {
    await logFile.close();
    await folder.release();
  }
}

const engineFolder = (dataPath: string): string => resolve(dataPath, "clickhouse");

const megabytes = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(1)} MB`;
