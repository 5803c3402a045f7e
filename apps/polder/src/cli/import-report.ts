import { createWriteStream } from "node:fs";
import { once } from "node:events";
import type { ImportOutcome, OpenedImport, RefusedRow, Site } from "@polder/core";
import { codeOf, CommandError, messageOf } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";

export interface Refusals {
  add(refused: RefusedRow): void;
  /** How many there were, and the first of them. */
  count(): number;
  first(): readonly RefusedRow[];
  /** Resolves when the report is written. May be called twice. Rejects with a {@link CommandError} when it cannot be. */
  close(): Promise<void>;
}

const shownRefusals = 10;

/** Every refusal goes to the file at once, so that many of them take no memory. */
export function openRefusals(path: string | undefined, terminal: Pick<Terminal, "err">): Refusals {
  const first: RefusedRow[] = [];
  let count = 0;
  let failure: unknown;
  const stream = path === undefined ? undefined : createWriteStream(path);
  stream?.on("error", (error) => {
    failure = error;
    terminal.err(`The report ${path} cannot be written (${codeOf(error) ?? messageOf(error)}).`);
  });
  stream?.write("line,column,reason,detail\n");
  return {
    add(refused) {
      count++;
      if (first.length < shownRefusals) first.push(refused);
      const { line, column, reason, detail } = refused;
      stream?.write(`${[String(line), column, reason, detail].map(cellOf).join(",")}\n`);
    },
    count: () => count,
    first: () => first,
    async close() {
      if (stream === undefined || stream.closed) return;
      stream.end();
      await once(stream, "close").catch(() => undefined);
      if (failure !== undefined) throw new CommandError(`The report ${path} could not be written.`);
    },
  };
}

/** A header may begin with what a spreadsheet takes for a formula. */
function cellOf(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** What a file is taken for, before anything of it is sent. */
export function describeMapping(
  { file, mapping, notTaken, isProposed }: OpenedImport,
  site: Site,
  asOf: number,
): string[] {
  const width = Math.max(...file.headers.map((header) => header.length));
  const columns = file.headers
    .filter((header) => !notTaken.includes(header))
    .map((header) => `    ${header.padEnd(width)}  ${mapping.columns[header]}`);
  const zone = mapping.timezone ?? site.timezone;
  return [
    `  ${mapping.kind} of the site ${site.id}, origin ${mapping.origin}${mapping.partner === undefined ? "" : ` ${mapping.partner.name}`}, times of ${zone}, as of ${new Date(asOf).toISOString()}`,
    isProposed ? "  By the names of its columns:" : "  By the mapping:",
    ...columns,
    ...(notTaken.length === 0 ? [] : [`  Not taken: ${notTaken.join(", ")}`]),
  ];
}

/** What became of the rows. */
export function describeCounts(
  { counts }: ImportOutcome,
  { isDryRun, report, refusals }: { isDryRun: boolean; report: string | undefined; refusals: Refusals },
): string[] {
  const { rows, refusedRows, events, accepted, nobody, people } = counts;
  const would = isDryRun ? "would be " : "";
  const lines: [count: number, text: string][] = [
    [rows, "rows read"],
    [refusedRows, `rows refused${refusedRows === 0 || report === undefined ? "" : `: see ${report}`}`],
    [events.new, `events ${would}new`],
    [events.corrected, `events ${would}sent to put right what was imported before`],
    [events.known, "events known already, so nothing is sent"],
  ];
  if (!isDryRun) lines.push([accepted, "events taken by the collector"]);
  if (nobody > 0) lines.push([nobody, "rows name nobody: they count, and belong to no person"]);
  if (isDryRun) {
    const atLeast = people.isAtLeast ? " or more" : "";
    lines.push([people.new, `people${atLeast} who are new`], [people.known, `people${atLeast} who are known`]);
  }
  const width = Math.max(...lines.map(([count]) => count.toLocaleString("en").length));
  const shown = refusals
    .first()
    .map(
      ({ line, column, reason, detail }) => `  line ${line}${column === "" ? "" : `, ${column}`}: ${reason}. ${detail}`,
    );
  const more = refusals.count() - refusals.first().length;
  return [
    ...lines.map(([count, text]) => `  ${count.toLocaleString("en").padStart(width)}  ${text}`),
    ...shown,
    ...(more > 0
      ? [
          `  … and ${more.toLocaleString("en")} more${report === undefined ? ": write all of them down with --report refused.csv" : `: see ${report}`}`,
        ]
      : []),
  ];
}
