import { readVersion } from "../version.ts";
import { audiencesCommand } from "./audiences.ts";
import { backupCommand } from "./backup.ts";
import type { Command, CommandContext } from "./command.ts";
import { consentCommand } from "./consent.ts";
import { doctorCommand } from "./doctor.ts";
import { eraseCommand } from "./erase.ts";
import { CommandError, exitCode, messageOf, UsageError } from "./exit-code.ts";
import { importCommand } from "./import.ts";
import { exportPersonCommand } from "./export-person.ts";
import { initCommand } from "./init.ts";
import { keyCommand } from "./key.ts";
import { migrateCommand } from "./migrate.ts";
import { restoreCommand } from "./restore.ts";
import { retentionCommand } from "./retention.ts";
import { replayCommand } from "./replay.ts";
import { sqlCommand } from "./sql.ts";
import { startCommand } from "./start.ts";
import { tagCommand } from "./tag.ts";
import { typesCommand } from "./types.ts";

export const commands: readonly Command[] = [
  initCommand,
  startCommand,
  tagCommand,
  migrateCommand,
  sqlCommand,
  doctorCommand,
  consentCommand,
  audiencesCommand,
  retentionCommand,
  eraseCommand,
  exportPersonCommand,
  backupCommand,
  restoreCommand,
  replayCommand,
  importCommand,
  keyCommand,
  typesCommand,
];

/** Never throws: what went wrong is told on the terminal. Resolves with the exit code. */
export async function runCli(args: readonly string[], context: CommandContext): Promise<number> {
  const { terminal } = context;
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const asked = commands.find((command) => command.name === rest[0]);
    terminal.out(asked?.help ?? overview(context));
    return name === undefined ? exitCode.usage : exitCode.done;
  }
  if (name === "--version" || name === "-v") {
    terminal.out(readVersion());
    return exitCode.done;
  }
  const command = commands.find((known) => known.name === name);
  if (command === undefined) {
    terminal.err(`There is no command “${name}”. Run \`npx polder --help\` to see those there are.`);
    return exitCode.usage;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    terminal.out(command.help);
    return exitCode.done;
  }
  try {
    return await command.run(rest, context);
  } catch (error) {
    if (!(error instanceof CommandError)) {
      terminal.err(
        `polder ${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`,
      );
      return exitCode.failed;
    }
    terminal.err(error.message);
    if (error instanceof UsageError) terminal.err(`Run \`npx polder ${name} --help\` to see how it is written.`);
    return error.exitCode;
  }
}

const overview = ({ terminal: { colours } }: CommandContext): string => {
  const width = Math.max(...commands.map((command) => command.name.length));
  const lines = commands.map((command) => `  ${colours.bold(command.name.padEnd(width))}  ${command.summary}`);
  return `First-party customer data on land you own.

Usage: polder <command> [options]

${lines.join("\n")}

Run \`npx polder <command> --help\` for its options, \`npx polder --version\` for the version.
Exit codes: 0 done, 1 failed, 2 not written as it should be, 130 interrupted.`;
};
