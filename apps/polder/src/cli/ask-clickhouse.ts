import { createClickHouse, type ClickHouse } from "@polder/clickhouse";
import type { Settings } from "../settings.ts";
import type { CommandContext } from "./command.ts";
import { codeOf, CommandError, messageOf } from "./exit-code.ts";

/** Where SQL is asked from outside: the server in CLICKHOUSE_URL, else the port of a running Polder. */
export async function askClickHouse(
  { clickhouse: server, host, ports, database, sqlPassword }: Settings,
  { terminal }: CommandContext,
  work: (clickhouse: ClickHouse) => Promise<number>,
): Promise<number> {
  const url = server?.url ?? `http://${host.includes(":") ? `[${host}]` : host}:${ports.sql}`;
  const say = (text: string): void => terminal.err(text);
  const clickhouse = createClickHouse({
    url,
    username: server?.username ?? "default",
    password: server?.password ?? sqlPassword ?? "",
    database,
    logger: { info: () => undefined, warn: say, error: say },
  });
  try {
    return await work(clickhouse);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const cause = codeOf(error) ?? messageOf(error);
    throw new CommandError(
      (await clickhouse.isReachable())
        ? `ClickHouse at ${url} could not answer: ${messageOf(error)}`
        : `Nothing answers at ${url} (${cause}). Start Polder with \`npx polder start\`, or say where it is with --sql-port or CLICKHOUSE_URL.`,
    );
  } finally {
    await clickhouse.close();
  }
}
