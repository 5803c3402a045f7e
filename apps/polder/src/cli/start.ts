import { existsSync } from "node:fs";
import { join } from "node:path";
import { configFileName, findConfigFile, readConfigFile } from "../config-file.ts";
import { takeDataFolder } from "../data-folder.ts";
import { ensureDemoConfig } from "../demo-config.ts";
import { openLogFile } from "../log-file.ts";
import { assertPortsFree } from "../ports.ts";
import { demoConfigPath, parts, readSettings, settingFlags, type Settings } from "../settings.ts";
import type { RunningPolder } from "../start-polder.ts";
import { readFlags, type Command, type CommandContext } from "./command.ts";
import { CommandError, exitCode, messageOf } from "./exit-code.ts";
import { scriptTag } from "./page-tags.ts";
import { createProgress } from "./progress.ts";

const help = `Runs all of Polder in one process: collector, log, loader, worker, live page, SQL. Ctrl-C drains and stops; a second one stops at once.

Usage: polder start [options]

  --demo                  With the demo shop, and its own configuration in the data folder unless one is named.
  --config <path>         Default: polder.config.json here, but not with --demo (POLDER_CONFIG).
  --data <folder>         Everything that is stored, and nothing outside it. Default: .polder (POLDER_DATA).
  --host <host>           Address to listen on. Default: 127.0.0.1 (POLDER_HOST).
${parts.map(({ flag, name, port, variable }) => `  ${`--${flag} <port>`.padEnd(22)}  Of ${name}. Default: ${port} (${variable}).`).join("\n")}

A port may be 0: any that is free. Other environment:
  KAFKA_BROKERS           host:port, comma separated: Kafka instead of the embedded log, with
                          POLDER_PARTITIONS (24), POLDER_REPLICATION (3), POLDER_TOPIC_PREFIX,
                          POLDER_KAFKA_PRODUCER (kafkajs, or platformatic: less CPU).
  CLICKHOUSE_URL          A ClickHouse server instead of the embedded engine, with
                          CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE (polder).
  POLDER_ADMIN_TOKEN, POLDER_SQL_PASSWORD
                          What the live page and SQL ask for; needed with a host that others can reach.
  POLDER_LINK_SECRET      Lets links take a visitor's id from one of a site's hosts to another.`;

export const startCommand: Command = {
  name: "start",
  summary: "Run all of Polder in one process",
  help,
  async run(args, context) {
    const { values } = readFlags(args, { ...settingFlags, demo: { type: "boolean" } });
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    const isDemo = values.demo === true;
    const own = settings.configPath ?? join(context.cwd, configFileName);
    // The shop's made-up visitors have no place in somebody's own site.
    const isDemoConfig = isDemo && settings.configPath === undefined;
    if (!isDemoConfig && findConfigFile(settings, context.cwd) === undefined) {
      throw new CommandError(
        "There is no polder.config.json here. Make one with `npx polder init`, or try the demo shop with `npx polder start --demo`.",
      );
    }
    // A bad file should not cost a start of the engine.
    if (!isDemoConfig) readConfigFile(own);
    else if (existsSync(own))
      context.terminal.out(
        `This is the demo, and not the site in ${configFileName}: start your own site with \`npx polder start\`.`,
      );
    const needed = parts
      .map(({ part }) => part)
      .filter((part) => (part !== "shop" || isDemo) && (part !== "sql" || settings.clickhouse === undefined));

    assertGuarded(settings);

    const folder = await takeDataFolder(settings.dataPath);
    try {
      await assertPortsFree({ host: settings.host, ports: settings.ports, needed });
      const configPath = isDemoConfig ? demoConfigPath(settings.dataPath) : own;
      if (isDemoConfig) await ensureDemoConfig(configPath, settings.ports.shop);
      return await runUntilStopped({ settings, configPath, isDemo }, context);
    } finally {
      await folder.release();
    }
  },
};

/** Both show personal data, and ask for nothing as long as only this machine can reach them. */
function assertGuarded({ host, adminToken, sqlPassword, clickhouse }: Settings): void {
  if (["127.0.0.1", "localhost", "::1"].includes(host)) return;
  const missing = [
    ...(adminToken === undefined ? ["POLDER_ADMIN_TOKEN (asked for by the live page)"] : []),
    ...(sqlPassword === undefined && clickhouse === undefined ? ["POLDER_SQL_PASSWORD (asked for by SQL)"] : []),
  ];
  if (missing.length === 0) return;
  throw new CommandError(
    `Others can reach ${host}, and would see personal data. Set ${missing.join(" and ")}, or listen on 127.0.0.1.`,
  );
}

interface Run {
  settings: Settings;
  configPath: string;
  isDemo: boolean;
}

async function runUntilStopped({ settings, configPath, isDemo }: Run, context: CommandContext): Promise<number> {
  const { terminal, now } = context;
  const { colours } = terminal;
  const { startPolder } = await import("../start-polder.ts");
  const progress = createProgress(terminal, now);
  const logFile = openLogFile(settings.dataPath, {
    now,
    onTrouble: (level, text) => terminal.err(level === "error" ? colours.red(text) : colours.yellow(text)),
  });

  // A signal during the start is heeded once it is through: half a start has no way to drain.
  let interrupt = (): void => undefined;
  const interrupted = new Promise<undefined>((resolve) => {
    interrupt = () => resolve(undefined);
  });
  let signals = 0;
  const forget = context.onSignal(() => {
    signals++;
    if (signals === 1) interrupt();
    else {
      terminal.err("Stopped at once. What was answered 200 is in the log and is loaded at the next start.");
      context.exit(exitCode.interrupted);
    }
  });

  try {
    terminal.out(colours.bold("Polder"));
    const { loggerOf } = logFile;
    const { drainWithinMs } = context;
    const polder = await startPolder({
      settings,
      configPath,
      isDemo,
      progress,
      loggerOf,
      now,
      ...(drainWithinMs !== undefined && { drainWithinMs }),
    });
    printAddresses(polder, { settings, configPath, logPath: logFile.path }, context);
    const failure = await Promise.race([polder.failed, interrupted]);
    if (failure !== undefined) terminal.err(colours.red(`Polder cannot go on: ${messageOf(failure)}`));
    terminal.out();
    const behind = await progress.step("Draining", (say) =>
      polder.stop((count) => say(`${count.toLocaleString("en")} to load`)),
    );
    terminal.out(`  ${goodbye(behind)}`);
    return failure === undefined ? exitCode.done : exitCode.failed;
  } finally {
    forget();
    await logFile.close();
  }
}

const goodbye = (behind: number | undefined): string => {
  if (behind === 0) return "Everything that arrived is in ClickHouse.";
  if (behind === undefined) return "What is not in ClickHouse yet is safe in the log, and is loaded at the next start.";
  return `${behind.toLocaleString("en")} records are not in ClickHouse yet. They are safe in the log, and are loaded at the next start.`;
};

function printAddresses(
  { addresses, writeKey }: RunningPolder,
  { settings, configPath, logPath }: { settings: Settings; configPath: string; logPath: string },
  { terminal: { out, colours } }: CommandContext,
): void {
  const [site] = readConfigFile(configPath).sites;
  const question = "SELECT name, count() FROM events_v GROUP BY name";
  const rows: [string, string][] = [
    ...(addresses.shop === undefined ? [] : [["Shop", colours.cyan(addresses.shop)] as [string, string]]),
    ["Live page", colours.cyan(addresses.api)],
    ["Collector", colours.cyan(addresses.collector)],
    ["Tag", scriptTag(site!, writeKey, addresses.collector)],
    ["", `with the banner and its texts: npx polder tag --site ${site!.id} --collector ${addresses.collector}`],
    ["SQL", colours.cyan(addresses.sql)],
    ...(settings.clickhouse === undefined
      ? [["", `curl '${addresses.sql}/?database=${settings.database}' --data '${question}'`] as [string, string]]
      : []),
    ["Data", settings.dataPath],
    ["Log", logPath],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  out();
  for (const [label, value] of rows) out(`  ${colours.bold(label.padEnd(width))}  ${value}`);
  out();
  out(colours.dim("  Ctrl-C drains and stops."));
}
