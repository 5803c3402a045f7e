import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createImportStore } from "@polder/clickhouse";
import {
  createImportSender,
  createSiteDirectory,
  CsvError,
  importContext,
  importKeyFault,
  importKinds,
  importRateOf,
  ImportStoppedError,
  isImportKind,
  noCounts,
  openImport,
  runImport,
  type ImportKind,
  type ImportOutcome,
  type ImportSend,
  type OpenedImport,
  type PolderConfig,
  type PostAnswer,
  type Site,
  type SiteDirectory,
  type SiteKey,
} from "@polder/core";
import { findConfigFile, readConfigFile } from "../config-file.ts";
import { readSettings, settingFlags, type Settings } from "../settings.ts";
import { askClickHouse } from "./ask-clickhouse.ts";
import { readFlags, type Command, type CommandContext } from "./command.ts";
import { codeOf, CommandError, exitCode, messageOf, UsageError } from "./exit-code.ts";
import { describeCounts, describeMapping, openRefusals, type Refusals } from "./import-report.ts";
import { createProgress } from "./progress.ts";
import { userOfMachine } from "./user-of-machine.ts";

const help = `Brings people and what happened elsewhere out of a CSV file into a running Polder.

Usage: polder import <kind> <file.csv> --key <server key> [options]

Kinds: ${importKinds.join(", ")}. The same file twice changes nothing; a corrected file changes what was corrected. Stopped anywhere, it can be run again.

  --mapping <file>      Which column holds what, as JSON (docs/import-mapping.schema.json). Default: by the names of the columns, in English or Dutch,
                        shown before anything is sent.
  --write-mapping <file> Writes that mapping down, to be changed, and sends nothing.
  --yes                 Takes the mapping that was found by the names without asking.
  --dry-run             Sends nothing. Shows the first events, counts what is new, corrected and known, and how many people are new.
  --report <file.csv>   Every row that was refused, with its line, its column and the reason.
  --key <key>           A server key with a lawful basis. Default: POLDER_SERVER_KEY. See \`polder key add server --basis contract\`.
  --as-of <time>        Of when the file is, for rows without a time: of two files that differ the newer holds. Default: when it was last written.
  --actor <name>        Who imports, for the record. Default: your name on this machine.
  --site <id>           Needed in a dry run without a key when there are several sites.
  --rate <number>       Events a second. Default: half of what the site may send, so that visitors keep the other half.
  --encoding <name>     utf-8, utf-16le, utf-16be or windows-1252. Default: found out.
  --separator <sign>    Default: found out.
  --collector <url>     Default: http://127.0.0.1:8081 (--collector-port, POLDER_COLLECTOR_PORT).
  --config <path>       With the sites and keys. Default: polder.config.json here, else the demo's.
  --data <folder>       Where the demo's is. Default: .polder (POLDER_DATA).
  --sql-port <port>     Where it asks what is known already. Default: 8123 (POLDER_SQL_PORT), or CLICKHOUSE_URL.

Exit code: 0 when every row is in, 1 when some were refused or it could not be finished, 2 when it was not written as it should be, 130 when it was stopped.`;

const flags = {
  ...settingFlags,
  mapping: { type: "string" },
  "write-mapping": { type: "string" },
  yes: { type: "boolean" },
  "dry-run": { type: "boolean" },
  report: { type: "string" },
  key: { type: "string" },
  "as-of": { type: "string" },
  actor: { type: "string" },
  site: { type: "string" },
  rate: { type: "string" },
  encoding: { type: "string" },
  separator: { type: "string" },
  collector: { type: "string" },
} as const;

type Flags = ReturnType<typeof readFlags<typeof flags>>["values"];

/** Rows that a dry run shows as the events they would be. */
const shownRows = 3;
const requestWithinMs = 30_000;
/** How long it is waited until what was sent can be asked for. */
const storedWithinMs = 20_000;
const quietMs = 3_000;

export const importCommand: Command = {
  name: "import",
  summary: "Import people and offline events from CSV",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(args, flags, { positionals: 2 });
    const [kind, fileName] = positionals;
    if (kind === undefined || !isImportKind(kind))
      throw new UsageError(`Say what is in the file: ${importKinds.join(", ")}.`);
    if (fileName === undefined) throw new UsageError(`Say which file: \`npx polder import ${kind} ${kind}.csv\`.`);
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    const { site, key, keyText } = findSite(settings, values, context);
    const path = resolve(context.cwd, fileName);
    const asOf = await readAsOf(values["as-of"], path, fileName, context.now());
    const opened = await openFile({ kind, path, fileName, asOf, values, site, context });

    const { terminal } = context;
    for (const line of describeMapping(opened, site, asOf)) terminal.out(line);
    const writeTo = values["write-mapping"];
    if (writeTo !== undefined) {
      const text = JSON.stringify({ kind, columns: opened.mapping.columns }, undefined, 2);
      await writeFile(resolve(context.cwd, writeTo), `${text}\n`).catch((error: unknown) => {
        throw new CommandError(`${writeTo} cannot be written (${codeOf(error) ?? messageOf(error)}).`);
      });
      terminal.out(`  Written to ${writeTo}. Change what is wrong, and import with --mapping ${writeTo}.`);
      return exitCode.done;
    }
    const isDryRun = values["dry-run"] === true;
    if (keyText === undefined && !isDryRun)
      throw new UsageError("Give a server key with --key or POLDER_SERVER_KEY, or look first with --dry-run.");
    const keyFault = keyText === undefined ? undefined : importKeyFault(key, opened.mapping);
    if (keyFault !== undefined) throw new CommandError(keyFault);
    if (key?.basis !== undefined)
      terminal.out(`  Lawful basis: ${key.basis.basis}, for ${key.basis.purposes.join(", ")}. ${key.basis.reason}`);
    if (opened.isProposed && !isDryRun && values.yes !== true) await confirm(context, fileName);

    const refusals = openRefusals(
      values.report === undefined ? undefined : resolve(context.cwd, values.report),
      terminal,
    );
    try {
      return await askClickHouse(settings, context, async (clickhouse) => {
        const store = createImportStore(clickhouse);
        const importId = randomUUID();
        const stopping = new AbortController();
        const offSignal = context.onSignal(() => stopping.abort());
        const send = isDryRun
          ? undefined
          : createSend({ settings, values, keyText: keyText!, opened, site, signal: stopping.signal });
        const outcome = await run({
          opened,
          site,
          store,
          send,
          asOf,
          kind,
          importId,
          values,
          fileName,
          context,
          refusals,
          stopping,
        }).finally(offSignal);
        await refusals.close();
        for (const line of describeCounts(outcome, { isDryRun, report: values.report, refusals })) terminal.out(line);
        if (outcome.isStopped) {
          terminal.out("  Stopped. Run the same again: what was sent is not sent twice.");
          return exitCode.interrupted;
        }
        if (!isDryRun && outcome.counts.accepted > 0)
          await waitUntilStored({ store, site: site.id, importId, expected: outcome.counts.accepted, context });
        return outcome.counts.refusedRows === 0 ? exitCode.done : exitCode.failed;
      });
    } finally {
      await refusals.close();
    }
  },
};

function findSite(
  settings: Settings,
  { key: keyFlag, site: siteFlag }: Flags,
  { cwd, env }: CommandContext,
): { site: Site; key: SiteKey | undefined; keyText: string | undefined } {
  const path = findConfigFile(settings, cwd);
  if (path === undefined) throw new CommandError("There is no polder.config.json here. Name it with --config.");
  const config: PolderConfig = readConfigFile(path);
  const directory: SiteDirectory = createSiteDirectory(config);
  const keyText = keyFlag ?? (env["POLDER_SERVER_KEY"] || undefined);
  const key = keyText === undefined ? undefined : directory.findKey(keyText);
  if (keyText !== undefined && key === undefined)
    throw new CommandError(`Nobody in ${path} has this key, or it no longer counts: see \`npx polder key list\`.`);
  if (key !== undefined) {
    if (siteFlag !== undefined && siteFlag !== key.site.id)
      throw new CommandError(`The key is of the site ${key.site.id}, and --site says ${siteFlag}.`);
    return { site: key.site, key, keyText };
  }
  const sites = directory.sites();
  const site = siteFlag === undefined ? (sites.length === 1 ? sites[0] : undefined) : directory.findSite(siteFlag);
  if (site !== undefined) return { site, key: undefined, keyText };
  throw siteFlag === undefined
    ? new UsageError(`Say for which site with --site: ${sites.map(({ id }) => id).join(", ")}.`)
    : new CommandError(`There is no site ${siteFlag} in ${path}.`);
}

async function readAsOf(given: string | undefined, path: string, name: string, now: Date): Promise<number> {
  const found = await stat(path).catch((error: unknown) => {
    throw new CommandError(
      codeOf(error) === "ENOENT"
        ? `There is no ${name}.`
        : `${name} cannot be read (${codeOf(error) ?? messageOf(error)}).`,
    );
  });
  if (!found.isFile()) throw new CommandError(`${name} is no file.`);
  if (given === undefined) return Math.min(Math.floor(found.mtimeMs), now.getTime());
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.test(given);
  const asOf = Date.parse(given);
  if (!isTime || Number.isNaN(asOf)) throw new UsageError("--as-of is not a time. Write it as 2026-11-22T20:15:00Z.");
  if (asOf > now.getTime()) throw new UsageError("--as-of is in the future.");
  return asOf;
}

async function openFile(asked: {
  kind: ImportKind;
  path: string;
  fileName: string;
  asOf: number;
  values: Flags;
  site: Site;
  context: CommandContext;
}): Promise<OpenedImport> {
  const { kind, path, fileName, asOf, values, site, context } = asked;
  const encoding = readEncoding(values.encoding);
  const mapping = values.mapping === undefined ? undefined : await readMapping(values.mapping, context.cwd);
  const bytes = createReadStream(path, { highWaterMark: 256 * 1024 });
  const result = await openImport({
    bytes,
    kind,
    mapping,
    site,
    asOf,
    now: () => context.now().getTime(),
    encoding,
    separator: values.separator === "\\t" ? "\t" : values.separator,
  }).catch((error: unknown) => {
    throw error instanceof CsvError
      ? new CommandError(`${fileName}, line ${error.line}: ${error.message}`)
      : new CommandError(`${fileName} cannot be read (${codeOf(error) ?? messageOf(error)}).`);
  });
  if (result.ok) return result;
  const faults = result.faults.map(({ path: place, message }) => `  ${place === "" ? "It" : place} ${message}`);
  const about = values.mapping ?? `The columns of ${fileName}`;
  const found = result.proposed === undefined ? [] : [`Found: ${JSON.stringify(result.proposed)}`];
  const all = result.headers.length === 0 ? [] : [`The columns are: ${result.headers.join(", ")}.`, ...found];
  const hint = values.mapping === undefined ? ["Say which column holds what with --mapping: see docs/imports.md."] : [];
  throw new CommandError([`${about} cannot be used, and nothing was sent:`, ...faults, ...all, ...hint].join("\n"));
}

function readEncoding(name: string | undefined) {
  if (name === undefined) return undefined;
  if (name === "utf-8" || name === "utf-16le" || name === "utf-16be" || name === "windows-1252") return name;
  throw new UsageError("--encoding is one of utf-8, utf-16le, utf-16be and windows-1252.");
}

async function readMapping(name: string, cwd: string): Promise<unknown> {
  const text = await readFile(resolve(cwd, name), "utf8").catch((error: unknown) => {
    throw new CommandError(
      codeOf(error) === "ENOENT"
        ? `There is no ${name}.`
        : `${name} cannot be read (${codeOf(error) ?? messageOf(error)}).`,
    );
  });
  try {
    return JSON.parse(text.replace(/^\ufeff/, "")) as unknown;
  } catch {
    throw new CommandError(`${name} is not JSON. A missing or trailing comma, a quote, or a comment?`);
  }
}

async function confirm({ terminal }: CommandContext, fileName: string): Promise<void> {
  if (!terminal.isInteractive)
    throw new UsageError(
      `Nobody is there to say whether this mapping of ${fileName} is right. Take it with --yes, or write it down with --write-mapping and give it with --mapping.`,
    );
  const answer = (await terminal.ask("Import with this mapping? yes or no", "no")).toLowerCase();
  if (!["yes", "y", "ja", "j"].includes(answer)) throw new CommandError("Nothing was sent.");
}

function createSend(given: {
  settings: Settings;
  values: Flags;
  keyText: string;
  opened: OpenedImport;
  site: Site;
  signal: AbortSignal;
}): ImportSend {
  const { settings, values, keyText, opened, site, signal } = given;
  const { host, ports } = settings;
  const base = values.collector ?? `http://${host.includes(":") ? `[${host}]` : host}:${ports.collector}`;
  if (!URL.canParse(base))
    throw new UsageError("--collector is not an address. Write it as https://data.shop.example.");
  const url = `${base.replace(/\/+$/, "")}/v1/import`;
  const authorization = `Basic ${Buffer.from(`${keyText}:`).toString("base64")}`;
  const post = async (body: string): Promise<PostAnswer> => {
    const timeout = AbortSignal.timeout(requestWithinMs);
    const headers = { authorization, "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", body, headers, signal: timeout }).catch((error: unknown) => {
      const cause = error instanceof Error ? error.cause : undefined;
      throw new Error(`nothing answers at ${url}: ${codeOf(cause) ?? messageOf(cause ?? error)}`);
    });
    return {
      status: response.status,
      retryAfter: response.headers.get("retry-after") ?? undefined,
      text: await response.text(),
    };
  };
  return createImportSender({
    post,
    pause: (ms) => pause(ms, undefined, { signal }),
    clock: () => performance.now(),
    context: importContext(opened.mapping),
    maxEventsPerSecond: readRate(values.rate) ?? importRateOf(site),
  });
}

function readRate(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new UsageError("--rate is a number of events a second, from 1.");
}

async function run(given: {
  opened: OpenedImport;
  site: Site;
  store: ReturnType<typeof createImportStore>;
  send: ImportSend | undefined;
  asOf: number;
  kind: ImportKind;
  importId: string;
  values: Flags;
  fileName: string;
  context: CommandContext;
  refusals: Refusals;
  stopping: AbortController;
}): Promise<ImportOutcome> {
  const { opened, site, store, send, asOf, kind, importId, values, fileName, context, refusals, stopping } = given;
  const { terminal } = context;
  const shown = new Set<number>();
  let last = noCounts();
  try {
    return await createProgress(terminal, context.now).step(send === undefined ? "Looking" : "Importing", (say) =>
      runImport({
        rows: opened.file.rows,
        plan: opened.plan,
        site: site.id,
        store,
        send,
        asOf,
        mark: { importId, kind, actor: values.actor ?? userOfMachine(), fileName: basename(fileName) },
        now: () => context.now().getTime(),
        onRefused: refusals.add,
        ...(send === undefined && {
          onPlanned(event, line) {
            if (!shown.has(line) && shown.size >= shownRows) return;
            shown.add(line);
            const { messageId: _, ...rest } = event;
            terminal.out(`  line ${line}: ${JSON.stringify(rest)}`);
          },
        }),
        onProgress(counts) {
          last = structuredClone(counts);
          say(`${counts.rows.toLocaleString("en")} rows, ${counts.refusedRows.toLocaleString("en")} refused`);
        },
        isStopped: () => stopping.signal.aborted,
      }),
    );
  } catch (error) {
    if (stopping.signal.aborted) return { counts: last, isStopped: true };
    const sent = send === undefined ? "" : ` ${last.accepted.toLocaleString("en")} events were taken before.`;
    if (error instanceof CsvError) throw new CommandError(`${fileName}, line ${error.line}: ${error.message}${sent}`);
    if (error instanceof ImportStoppedError) throw new CommandError(`${error.message}${sent}`);
    throw error;
  }
}

/** Told when it takes longer, so that whoever asks right away knows why something is not there yet. */
async function waitUntilStored(asked: {
  store: ReturnType<typeof createImportStore>;
  site: string;
  importId: string;
  expected: number;
  context: CommandContext;
}): Promise<void> {
  const { store, site, importId, expected, context } = asked;
  const { terminal } = context;
  const until = performance.now() + storedWithinMs;
  let [stored, changedAt] = [0, performance.now()];
  for (;;) {
    const found = await store.countStored(site, importId);
    if (found > stored) [stored, changedAt] = [found, performance.now()];
    if (stored >= expected) {
      terminal.out(`  ${stored.toLocaleString("en")} events can be asked for now. Import ${importId}.`);
      return;
    }
    // Some of them may never come: an import that was stopped has sent them already.
    if (performance.now() > until || (stored > 0 && performance.now() > changedAt + quietMs)) {
      terminal.out(
        `  ${stored.toLocaleString("en")} of ${expected.toLocaleString("en")} events can be asked for so far; the others are in the log, were in it already, or are of somebody who was erased. Import ${importId}.`,
      );
      return;
    }
    await pause(100);
  }
}
