import type { Logger } from "@polder/core";
import { takeDataFolder } from "../data-folder.ts";
import { openLogFile } from "../log-file.ts";
import { readSettings, settingFlags } from "../settings.ts";
import { readFlags, type Command } from "./command.ts";
import { exitCode } from "./exit-code.ts";
import { createProgress } from "./progress.ts";

const help = `Brings the tables and views up to date, in the ClickHouse server in CLICKHOUSE_URL or in the embedded engine of a stopped Polder.
\`npx polder start\` does the same by itself.

Usage: polder migrate [options]

  --data <folder>      Of the embedded engine. Default: .polder (POLDER_DATA).

Environment: CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE (polder).`;

export const migrateCommand: Command = {
  name: "migrate",
  summary: "Bring the tables and views up to date",
  help,
  async run(args, { terminal, env, cwd, now }) {
    const { values } = readFlags(args, { data: settingFlags.data });
    const settings = readSettings({ flags: values, env, cwd });
    const { openStore } = await import("../open-store.ts");
    const migrateWith = async (loggerOf: (name: string) => Logger): Promise<number> => {
      const store = await openStore({ settings, progress: createProgress(terminal, now), loggerOf });
      await store.close();
      return exitCode.done;
    };
    // Somebody else's server needs nothing of ours on disk.
    if (settings.clickhouse !== undefined) {
      const silent = (): void => undefined;
      const warn = (message: string): void => terminal.err(message);
      return migrateWith(() => ({ info: silent, warn, error: warn }));
    }
    const folder = await takeDataFolder(settings.dataPath);
    const logFile = openLogFile(settings.dataPath, { now, onTrouble: (_level, text) => terminal.err(text) });
    try {
      return await migrateWith(logFile.loggerOf);
    } finally {
      await logFile.close();
      await folder.release();
    }
  },
};
