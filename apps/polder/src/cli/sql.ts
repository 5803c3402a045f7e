import { sqlAccess } from "../sql-access.ts";
import { readSettings, settingFlags } from "../settings.ts";
import { readFlags, type Command } from "./command.ts";
import { codeOf, CommandError, exitCode, messageOf, UsageError } from "./exit-code.ts";

const help = `Asks a question in SQL of a running Polder, or of the ClickHouse server in CLICKHOUSE_URL.

Usage: polder sql "SELECT name, count() FROM events_v GROUP BY name" [options]
       polder sql < question.sql

  --format <name>      Any of ClickHouse's formats. Default: PrettyCompact on a terminal, TSVWithNames elsewhere.
  --sql-port <port>    Default: 8123 (POLDER_SQL_PORT).
  --host <host>        Default: 127.0.0.1 (POLDER_HOST).

Environment: CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE (polder).`;

// What the engine ends an answer with when it fails halfway, after its 200.
const brokenOff = /__exception__\s|Code: \d+\. DB::Exception: /;

export const sqlCommand: Command = {
  name: "sql",
  summary: "Ask a question in SQL",
  help,
  async run(args, { terminal, env, cwd }) {
    const { values, positionals } = readFlags(
      args,
      { ...settingFlags, format: { type: "string" } },
      { positionals: 1 },
    );
    const settings = readSettings({ flags: values, env, cwd });
    const question = positionals[0] ?? (terminal.isInteractive ? "" : await terminal.readInput());
    if (question.trim() === "") throw new UsageError("There is no question.");
    const { url, headers } = sqlAccess(settings);
    url.searchParams.set(
      "default_format",
      values.format ?? (terminal.isOutputTerminal ? "PrettyCompact" : "TSVWithNames"),
    );
    const response = await fetch(url, { method: "POST", body: question, headers }).catch((error: unknown) => {
      throw unreachable(url, error);
    });
    if (!response.ok) throw new CommandError((await response.text()).trim());
    let tail = "";
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) {
        terminal.write(chunk);
        tail = (tail + decoder.decode(chunk, { stream: true })).slice(-2000);
      }
    } catch (error) {
      throw new CommandError(`The answer broke off: ${messageOf(error)}.`);
    }
    return brokenOff.test(tail) && tail.includes("DB::Exception") ? exitCode.failed : exitCode.done;
  },
};

const unreachable = (url: URL, error: unknown): CommandError => {
  const cause = error instanceof Error ? error.cause : undefined;
  return new CommandError(
    `Nothing answers at ${url.origin} (${codeOf(cause) ?? messageOf(cause ?? error)}). Start Polder with \`npx polder start\`, or say where it is with --sql-port or CLICKHOUSE_URL.`,
  );
};
