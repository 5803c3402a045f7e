import { constants } from "node:fs";
import { access, statfs } from "node:fs/promises";
import type { PolderConfig } from "@polder/core";
import { findConfigFile, readConfigFile } from "../config-file.ts";
import { ownerOf } from "../data-folder.ts";
import { sqlAccess } from "../sql-access.ts";
import { readSettings, settingFlags, type Settings } from "../settings.ts";
import { readFlags, type Command } from "./command.ts";
import { countsOfKafka } from "./doctor-kafka.ts";
import { judgeLedger, ledgerQuestion, readLedgerSums, whereOnTheWay } from "./doctor-where.ts";
import { codeOf, exitCode, messageOf } from "./exit-code.ts";
import { basisWords } from "./key-basis.ts";
import { readCounts, sumOf, type Count } from "./read-counts.ts";

const help = `Checks a running installation and says what is wrong, and what to do, in a sentence each.

Usage: polder doctor [options]

  --config <path>      Default: polder.config.json here, else the demo's.
  --data <folder>      Default: .polder (POLDER_DATA).
  --host <host>        Default: 127.0.0.1 (POLDER_HOST).
  --collector-port, --api-port, --sql-port <port>

Looks at: configuration, consent, data folder, disk, collector, live page, SQL, clock, lag, refused and dropped events; says where
events are that are not in ClickHouse, and whether any are missing.
With loaders in processes of their own, KAFKA_BROKERS (as they have it) says which Kafka to ask what waits in the log.
Exit code: 0 when all is well (notes do not count), 1 when something is wrong.`;

export interface Finding {
  /** `note`: right, but worth knowing. */
  level: "ok" | "note" | "wrong";
  text: string;
}

const wrongBytes = 1024 ** 3;
const tightBytes = 5 * 1024 ** 3;
const clockToleranceMs = 2_000;
const lagTolerance = 50_000;
const refusedTolerance = 0.05;
const answerWithinMs = 5_000;

export const doctorCommand: Command = {
  name: "doctor",
  summary: "Check a running installation",
  help,
  async run(args, { terminal, env, cwd, now }) {
    const { values } = readFlags(args, settingFlags);
    const settings = readSettings({ flags: values, env, cwd });
    const findings = await examine(settings, { configFile: findConfigFile(settings, cwd), now });
    const { colours } = terminal;
    const marks = { ok: colours.green("✓"), note: colours.yellow("!"), wrong: colours.red("✗") };
    for (const { level, text } of findings) terminal.out(`${marks[level]} ${text}`);
    const wrong = findings.filter(({ level }) => level === "wrong").length;
    terminal.out();
    terminal.out(verdict(findings));
    return wrong === 0 ? exitCode.done : exitCode.failed;
  },
};

/** The last line. Only what has nothing to look at is well. */
export function verdict(findings: readonly Finding[]): string {
  const count = (wanted: Finding["level"]): number => findings.filter(({ level }) => level === wanted).length;
  const [wrongs, notes] = [count("wrong"), count("note")];
  if (wrongs > 0) return `${wrongs} ${wrongs === 1 ? "thing is" : "things are"} wrong.`;
  if (notes > 0) return `Nothing is broken; ${notes} ${notes === 1 ? "thing" : "things"} to look at (!).`;
  return "All is well.";
}

interface Surroundings {
  configFile: string | undefined;
  now: () => Date;
  /** How long ClickHouse may take to answer, 5,000 ms when not given. */
  storeWithinMs?: number;
  /** Ends what has taken so many milliseconds; `AbortSignal.timeout` when not given. */
  timeout?: Timeout;
  /** What waits in Kafka; Kafka itself is asked when not given. */
  askKafka?: typeof countsOfKafka;
}

type Timeout = (ms: number) => AbortSignal;

export async function examine(settings: Settings, surroundings: Surroundings): Promise<Finding[]> {
  const { configFile, now, storeWithinMs = answerWithinMs, askKafka = countsOfKafka } = surroundings;
  const timeout = surroundings.timeout ?? ((ms) => AbortSignal.timeout(ms));
  const { host, ports } = settings;
  const collector = `http://${host}:${ports.collector}`;
  const groups = await Promise.all([
    checkConfig(configFile),
    checkDataFolder(settings),
    checkReady("The collector", collector, "--collector-port", timeout),
    checkReady("The live page", `http://${host}:${ports.api}`, "--api-port", timeout),
    checkStore(settings, now, storeWithinMs, timeout),
    checkCounts(settings, collector, askKafka, timeout),
  ]);
  return groups.flat();
}

async function checkConfig(path: string | undefined): Promise<Finding[]> {
  if (path === undefined)
    return [wrong("There is no polder.config.json here. Make one with `npx polder init`, or name it with --config.")];
  try {
    const config = readConfigFile(path);
    return [ok(`${path} is in order: ${config.sites.map((site) => site.id).join(", ")}.`), ...checkConsent(config)];
  } catch (error) {
    return [wrong(messageOf(error))];
  }
}

/** What a site has set that lets events in without a yes. All of it may be right; none of it should be a surprise. */
export function checkConsent(config: PolderConfig): Finding[] {
  const surprises = config.sites.flatMap((site) => {
    const found: Finding[] = [];
    const { mode, reason } = site.consent.beforeChoice;
    if (mode !== "silent") found.push(note(`Site ${site.id} ${beforeChoiceWords[mode]} Reason on record: ${reason}`));
    if (site.origins.includes("*")) {
      found.push(wrong(`Site ${site.id} takes events from pages anywhere (origins "*"). List its own origins.`));
    }
    for (const [place, regime] of Object.entries(site.consent.regimes)) {
      if (regime === "opt_in") continue;
      const where = place === "default" ? "everywhere else" : `in ${place}`;
      found.push(
        note(
          `Site ${site.id} has the regime ${regime} ${where}: visitors who have not chosen are counted. That is not allowed in the EU.`,
        ),
      );
    }
    for (const key of site.writeKeys) {
      if (key.basis === undefined) continue;
      found.push(
        note(
          `Write key ${key.key} of ${site.id} lets events in without consent of their own, for ${key.basis.purposes.join(", ")} (${key.basis.basis}: ${key.basis.reason}).`,
        ),
      );
    }
    for (const origin of site.origins) {
      const url = origin === "*" ? undefined : new URL(origin);
      const isLocal = url === undefined || ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
      if (!isLocal && url.protocol === "http:")
        found.push(
          wrong(`${origin} of ${site.id} is not encrypted, so browsers keep no cookie for it. Serve it as https.`),
        );
    }
    return found;
  });
  const servers = config.sites.flatMap((site) =>
    site.serverKeys.map(({ name, basis }) =>
      ok(
        basis === undefined
          ? `Server key “${name}” of ${site.id} stores events only with a consent of their own.`
          : `Server key “${name}” of ${site.id} stores events without a consent of their own: ${basisWords(basis)}. ${basis.reason}`,
      ),
    ),
  );
  const silent = config.sites.filter(({ consent }) => consent.beforeChoice.mode === "silent").map(({ id }) => id);
  return [
    ...(surprises.length === 0 ? [ok("Without a visitor's yes nothing of a page is stored.")] : surprises),
    ...(silent.length === 0 ? [] : [ok(`Before a choice pages keep and send nothing (silent): ${silent.join(", ")}.`)]),
    ...servers,
  ];
}

const beforeChoiceWords = {
  buffer: "lets pages keep events in memory before a choice, to be sent after a yes (buffer).",
  measurement: "counts page views before a choice, as nobody's (measurement).",
} as const;

async function checkDataFolder({ dataPath }: Settings): Promise<Finding[]> {
  try {
    await access(dataPath, constants.W_OK);
    const { bavail, bsize } = await statfs(dataPath);
    const free = bavail * bsize;
    const owner = await ownerOf(dataPath);
    const use = owner === undefined ? "in use by nobody" : `in use by process ${owner}`;
    if (free < wrongBytes)
      return [
        wrong(`The disk of ${dataPath} has ${gigabytes(free)} left. Make room: at 32 MB the log stops taking events.`),
      ];
    if (free < tightBytes) return [note(`The disk of ${dataPath} has ${gigabytes(free)} left.`)];
    return [ok(`The data folder ${dataPath} can be written, ${use}; ${gigabytes(free)} free.`)];
  } catch (error) {
    return [
      wrong(
        codeOf(error) === "ENOENT"
          ? `There is no data folder ${dataPath} yet. It is made by \`npx polder start\`.`
          : `The data folder ${dataPath} cannot be used: ${messageOf(error)}.`,
      ),
    ];
  }
}

async function checkReady(name: string, url: string, flag: string, timeout: Timeout): Promise<Finding[]> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: timeout(answerWithinMs) });
    if (response.ok) return [ok(`${name} at ${url} is ready.`)];
    return [wrong(`${name} at ${url} is not ready: ${(await response.text()).trim()}.`)];
  } catch (error) {
    return [
      wrong(
        `${name} does not answer at ${url} (${reasonOf(error)}). Start it with \`npx polder start\`, or say where it is with ${flag}.`,
      ),
    ];
  }
}

async function checkStore(settings: Settings, now: () => Date, withinMs: number, timeout: Timeout): Promise<Finding[]> {
  const ask = (question: string): Promise<string[]> => askStore(settings, question, timeout(withinMs));
  const url = sqlAccess(settings).url.origin;
  const name = settings.clickhouse === undefined ? "SQL" : "ClickHouse";
  let version: string;
  let offBy: number;
  try {
    const asked = now().getTime();
    const [row = ""] = await ask("SELECT version(), toUnixTimestamp64Milli(now64(3))");
    const answered = now().getTime();
    const [found = "", clock = ""] = row.split("\t");
    version = found;
    // The answer was made at some moment in between.
    offBy = Math.max(0, Number(clock) - answered, asked - Number(clock));
  } catch (error) {
    return [
      wrong(
        `${name} does not answer at ${url} (${reasonOf(error)}). Start it with \`npx polder start\`, or say where it is with --sql-port or CLICKHOUSE_URL.`,
      ),
    ];
  }
  const findings = [ok(`${name} at ${url} answers: ClickHouse ${version}.`)];
  findings.push(
    offBy > clockToleranceMs
      ? wrong(
          `The clocks of this machine and of ClickHouse are ${(offBy / 1000).toFixed(1)} s apart. Let both follow a time server.`,
        )
      : ok("The clocks agree."),
  );
  try {
    const counts = await ask(
      `SELECT (SELECT count() FROM ${settings.database}.events WHERE received_at > now() - 3600), (SELECT count() FROM ${settings.database}.rejected WHERE received_at > now() - 3600)`,
    );
    const [stored = 0, refused = 0] = (counts[0] ?? "").split("\t").map(Number);
    const share = refused / Math.max(stored + refused, 1);
    const words = `In the last hour ${stored} events were stored and ${refused} refused`;
    findings.push(
      share > refusedTolerance
        ? wrong(`${words}. Ask why: SELECT reason, any(detail), count() FROM rejected GROUP BY reason`)
        : ok(`${words}.`),
    );
  } catch (error) {
    return [...findings, cannotRead("The tables", error, withinMs)];
  }
  try {
    const ledger = await ask(ledgerQuestion(settings.database));
    findings.push(...readLedgerSums(ledger).flatMap(judgeLedger));
  } catch (error) {
    findings.push(cannotRead("The loss ledger, which says whether any events are missing,", error, withinMs));
  }
  return findings;
}

/** No such column, table, database: they are of another version, or not made yet. */
const lacksTables = /^Code: (47|60|81)\b/;

function cannotRead(what: string, error: unknown, withinMs: number): Finding {
  if (error instanceof Error && error.name === "TimeoutError")
    return wrong(
      `${what} cannot be read within ${withinMs / 1000} s. ClickHouse is busy: SELECT elapsed, query FROM system.processes says with what. Ask again when it has less to do.`,
    );
  const remedy = lacksTables.test(messageOf(error)) ? " Make them with `npx polder migrate`." : "";
  return wrong(`${what} cannot be read (${messageOf(error)}).${remedy}`);
}

/** What the process of `polder start` counts: lag, and what it did not keep. Of a collector alone Kafka knows the lag. */
async function checkCounts(
  { kafka }: Settings,
  collector: string,
  askKafka: NonNullable<Surroundings["askKafka"]>,
  timeout: Timeout,
): Promise<Finding[]> {
  // That the collector is away is told by its own check.
  const own = await fetch(`${collector}/metrics`, { signal: timeout(answerWithinMs) })
    .then(async (response) => readCounts(await response.text()))
    .catch(() => undefined);
  const isLoadedHere = own?.some(({ name }) => name === "polder_log_lag_records");
  if (kafka === undefined || isLoadedHere) {
    if (own === undefined) return [];
    return [...checkLag(own), ...whereOnTheWay(own, collector), ...checkLosses(own)];
  }
  try {
    const lag = await askKafka(kafka);
    const where = own === undefined ? [] : whereOnTheWay([...own, ...lag], collector);
    return [...checkLag(lag), ...where, ...checkLosses(own ?? [])];
  } catch (error) {
    const away = wrong(
      `What waits in Kafka is not known: ${messageOf(error)} Look at KAFKA_BROKERS (${kafka.brokers.join(", ")}) and POLDER_TOPIC_PREFIX.`,
    );
    return [away, ...checkLosses(own ?? [])];
  }
}

const checkLag = (counts: readonly Count[]): Finding[] =>
  counts
    .filter(({ name }) => name === "polder_log_lag_records")
    .map(({ labels: { topic = "" }, value }) =>
      value > lagTolerance
        ? wrong(
            `${value} records of ${topic} wait to be loaded. See polder.log in the data folder, or the log of the loaders, for why they are slow.`,
          )
        : ok(`${value} records of ${topic} wait to be loaded.`),
    );

const remedies = {
  dropped: {
    no_consent:
      "because they carried no consent. Send the visitor's choice along (context.consent), or from a server use a key with a basis: npx polder key add server --basis contract",
    no_profile_consent:
      "because they tell who someone is, and nobody agreed to a profile. That is right for visitors who declined; servers send the choice along (context.consent)",
    consent_withdrawn:
      "because their visitors' recorded choice allows less than they claimed. A few are right after withdrawals; where it is most of them, a page or server goes on sending an old yes: docs/how-to/no_consent.md",
  },
  refused: {
    origin_refused:
      "List the page's origin under origins in polder.config.json; from a server or an app, send no Origin header. A server key must never be in a page",
    unknown_key:
      "Nobody has the key they came with, or its time is over. Compare it with `npx polder key list`, and whether polder.config.json is the one that runs",
    missing_key: "They came without a key. Send it as writeKey in the body, or as X-Write-Key",
  },
} as const;

/** What was not kept since the collector started, and what to do: wrong only when it is most of what came. */
function checkLosses(counts: readonly Count[]): Finding[] {
  const received = sumOf(counts, "polder_collector_events_received_total");
  const requests = sumOf(counts, "polder_collector_request_seconds_count");
  const since = "since the collector started";
  const judge = (lost: number, of: number, text: string): Finding => (lost > of / 2 ? wrong(text) : note(text));
  const dropped = Object.entries(remedies.dropped).flatMap(([reason, remedy]) => {
    const lost = sumOf(counts, "polder_collector_events_dropped_total", { reason });
    const text = `${lost} of ${received} events were dropped ${since} (${reason}) ${remedy}.`;
    return lost === 0 ? [] : [judge(lost, received, text)];
  });
  const refused = Object.entries(remedies.refused).flatMap(([code, remedy]) => {
    const lost = sumOf(counts, "polder_collector_requests_refused_total", { code });
    const text = `${lost} of ${requests} requests were refused ${since} (${code}). ${remedy}.`;
    return lost === 0 ? [] : [judge(lost, requests, text)];
  });
  return [...dropped, ...refused];
}

async function askStore(settings: Settings, question: string, signal: AbortSignal): Promise<string[]> {
  const { url, headers } = sqlAccess(settings);
  url.searchParams.set("default_format", "TSVRaw");
  const response = await fetch(url, { method: "POST", body: question, headers, signal });
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim().split("\n")[0]);
  return text.split("\n");
}

const ok = (text: string): Finding => ({ level: "ok", text });
const note = (text: string): Finding => ({ level: "note", text });
const wrong = (text: string): Finding => ({ level: "wrong", text });

const gigabytes = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GB`;
const reasonOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return codeOf(cause) ?? messageOf(cause);
};
