import { join } from "node:path";
import { ClickHouseQueryError, createClickHouse, type ClickHouse, type ClickHouseOptions } from "@polder/clickhouse";
import { findEngine } from "@polder/engine";
import type { Settings } from "../settings.ts";
import type { CommandContext } from "./command.ts";
import { codeOf, CommandError, messageOf } from "./exit-code.ts";

/** Number of ClickHouse's error. */
const accessDenied = 497;

/**
 * Where SQL is asked from outside: the server in CLICKHOUSE_URL, else a running Polder. Of that whoever may read its data folder sees all; everybody
 * else sees what analysts see.
 */
export async function askClickHouse(
  { clickhouse: server, host, ports, database, dataPath, sqlPassword }: Settings,
  { terminal }: CommandContext,
  work: (clickhouse: ClickHouse) => Promise<number>,
): Promise<number> {
  const url = server?.url ?? `http://${host.includes(":") ? `[${host}]` : host}:${ports.sql}`;
  const say = (text: string): void => terminal.err(text);
  const given: ClickHouseOptions = {
    url,
    username: server?.username ?? "default",
    password: server?.password ?? sqlPassword ?? "",
    database,
    logger: { info: () => undefined, warn: say, error: say },
  };
  const clickhouse = createClickHouse((server === undefined && (await asAdmin(given, dataPath))) || given);
  try {
    return await work(clickhouse);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    if (server === undefined && error instanceof ClickHouseQueryError && error.code === accessDenied)
      throw new CommandError(
        `Analysts may not read that, and more than an analyst is only who may read the data folder, of which there is none of this Polder in ${dataPath}. Run it where the folder is, and name it in POLDER_DATA.`,
      );
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

/** Undefined unless the engine behind the port is the one that has this data folder. */
async function asAdmin(analyst: ClickHouseOptions, dataPath: string): Promise<ClickHouseOptions | undefined> {
  const engine = await findEngine(join(dataPath, "clickhouse"));
  if (engine === undefined) return undefined;
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const admin = { ...analyst, url: engine.url, ...engine.admin };
  const [theirs, ours] = await Promise.all(
    [analyst, admin].map((options) => uuidOf(createClickHouse({ ...options, logger: quiet }))),
  );
  return ours !== undefined && ours === theirs ? admin : undefined;
}

async function uuidOf(clickhouse: ClickHouse): Promise<string | undefined> {
  try {
    const [row] = await clickhouse.query<{ id: string }>("SELECT toString(serverUUID()) AS id");
    return row?.id;
  } catch {
    return undefined;
  } finally {
    await clickhouse.close();
  }
}
