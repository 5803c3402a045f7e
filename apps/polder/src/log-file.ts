import { createWriteStream, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { createJsonLogger, type LogFields, type Logger } from "@polder/core";

export interface LogFile {
  path: string;
  loggerOf(name: string): Logger;
  close(): Promise<void>;
}

const keptBytes = 10 * 1024 * 1024;

/**
 * One JSON object a line in the data folder. Warnings and errors go to `onTrouble` as well, for the terminal.
 * At a start the file steps aside as `polder.log.1` when it has grown past 10 MB.
 */
export function openLogFile(
  dataPath: string,
  { now, onTrouble }: { now: () => Date; onTrouble: (level: "warn" | "error", text: string) => void },
): LogFile {
  const path = join(dataPath, "polder.log");
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > keptBytes) renameSync(path, `${path}.1`);
  const stream = createWriteStream(path, { flags: "a", mode: 0o600 });
  let isBroken = false;
  stream.on("error", (error) => {
    if (!isBroken) onTrouble("error", `polder.log cannot be written: ${error.message}`);
    isBroken = true;
  });
  const write = (line: string): void => void (isBroken || stream.write(line));
  return {
    path,
    loggerOf(name) {
      const json = createJsonLogger({ name, write, now });
      const told = (level: "warn" | "error") => (message: string, fields?: LogFields) => {
        json[level](message, fields);
        const details = Object.entries(fields ?? {}).map(([field, value]) => `${field} ${String(value)}`);
        onTrouble(level, `${name}: ${[message, ...details].join(", ")}`);
      };
      return { info: json.info, warn: told("warn"), error: told("error") };
    },
    close: () => new Promise((resolve) => stream.end(() => resolve())),
  };
}
