import { decodeText } from "./decode-text.ts";
import type { ImportEncoding } from "./import-mapping.ts";

/** The file cannot be read on: the message says from which line, and why. */
export class CsvError extends Error {
  readonly code = "broken_csv";
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

export interface CsvRow {
  /** Line of the file that the row begins on, from 1. */
  line: number;
  cells: readonly string[];
}

export interface CsvFile {
  headers: readonly string[];
  separator: string;
  /** Known for sure when the last row has been read: a file is ASCII until it is something else. */
  encoding(): ImportEncoding;
  /** To be read once. Rejects with a {@link CsvError}. */
  rows: AsyncIterable<CsvRow>;
}

export interface CsvOptions {
  separator?: string | undefined;
  encoding?: ImportEncoding | undefined;
}

const maxRowCharacters = 1024 * 1024;
const maxHeaders = 1_000;
const separators = [",", ";", "\t", "|"];

/**
 * Reads a file as it comes, in memory that does not grow with it: quotes, line breaks inside them, lines of any length of cells, empty lines, a line
 * `sep=;` of a spreadsheet. A quote inside of a cell that has none around it is a sign like any other. Rejects with a {@link CsvError} where there is no header.
 */
export async function openCsv(bytes: AsyncIterable<Uint8Array>, options: CsvOptions = {}): Promise<CsvFile> {
  let encoding: ImportEncoding = "utf-8";
  const texts = decodeText(bytes, options.encoding, (decided) => (encoding = decided));
  const { head, skipped, separator: stated } = await readHead(texts);
  const separator = options.separator ?? stated ?? guessSeparator(head);
  const rows = parseRows(chain(head, texts), separator, skipped);
  const first = await rows.next();
  const headers = first.done === true ? [] : first.value.cells.map((cell) => cell.trim());
  while (headers.at(-1) === "") headers.pop();
  checkHeaders(headers);
  return { headers, separator, encoding: () => encoding, rows };
}

function checkHeaders(headers: readonly string[]): void {
  if (headers.length === 0)
    throw new CsvError(1, "The file is empty: its first line has to hold the names of the columns.");
  if (headers.length > maxHeaders)
    throw new CsvError(1, `The first line has more than ${maxHeaders} columns: is it the line with their names?`);
  const empty = headers.indexOf("");
  if (empty !== -1) throw new CsvError(1, `Column ${empty + 1} has no name on the first line: give it one.`);
  const again = headers.find((header, at) => headers.indexOf(header) !== at);
  if (again !== undefined) throw new CsvError(1, `Two columns are named “${again}”: give each a name of its own.`);
  if (headers.some((header) => header.includes("\ufffd")))
    throw new CsvError(1, "The names of the columns cannot be read: say how the file is written, as windows-1252.");
}

/** As much of the text as holds the first line, without a line that names the separator. */
async function readHead(
  texts: AsyncIterator<string>,
): Promise<{ head: string; skipped: number; separator: string | undefined }> {
  let head = "";
  for (;;) {
    const next = await texts.next();
    if (next.done !== true) head += next.value;
    const isEnough = next.done === true || /\S[^\r\n]*[\r\n]./.test(head) || head.length > maxRowCharacters;
    if (!isEnough) continue;
    const named = /^\s*"?sep=(.)"?\r?\n?/i.exec(head);
    if (named === null) return { head, skipped: 0, separator: undefined };
    return { head: head.slice(named[0].length), skipped: 1, separator: named[1] };
  }
}

/** Of the first line, without what is in quotes. One column: a comma, which is not there. */
function guessSeparator(head: string): string {
  const line = /[^\r\n]+/.exec(head.replaceAll(/"[^"]*"/g, ""))?.[0] ?? "";
  const counts = separators.map((separator) => line.split(separator).length);
  return separators[counts.indexOf(Math.max(...counts))]!;
}

async function* chain(first: string, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* rest;
}

async function* parseRows(texts: AsyncIterable<string>, separator: string, skipped: number): AsyncGenerator<CsvRow> {
  // Nobody who does not import pays for it.
  const [{ parse }, { Readable, pipeline }] = await Promise.all([import("csv-parse"), import("node:stream")]);
  // A stream that fails forgets what it has read already: the fault is kept until all before it has been given out.
  let broken: { code: string; afterRecords: number } | undefined;
  const parser = parse({
    delimiter: separator,
    record_delimiter: ["\r\n", "\n", "\r"],
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
    max_record_size: maxRowCharacters,
    info: true,
    skip_records_with_error: true,
    on_skip: (error) => {
      broken ??= { code: error?.code ?? "", afterRecords: Number(error?.["records"] ?? 0) };
    },
  });
  let failure: unknown;
  pipeline(Readable.from(texts), parser, (error) => (failure = error ?? undefined));
  let line = skipped + 1;
  let records = 0;
  // It counts a line break of two characters twice when it is in a cell.
  let countedTwice = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRecord>) {
      if (broken?.afterRecords === records) break;
      records++;
      const { breaks, pairs } = breaksIn(record);
      countedTwice += pairs;
      const endLine = info.lines + skipped - countedTwice;
      line = endLine + 1;
      if (record.some((cell) => cell.trim() !== "")) yield { line: endLine - breaks, cells: record };
    }
  } catch (error) {
    throw failure ?? error;
  }
  if (broken !== undefined) throw toCsvError(broken.code, line);
}

interface CsvRecord {
  record: string[];
  info: { lines: number };
}

function breaksIn(cells: readonly string[]): { breaks: number; pairs: number } {
  let [breaks, pairs] = [0, 0];
  for (const cell of cells)
    for (const found of cell.includes("\n") || cell.includes("\r") ? (cell.match(/\r\n|\n|\r/g) ?? []) : []) {
      breaks++;
      if (found.length === 2) pairs++;
    }
  return { breaks, pairs };
}

function toCsvError(code: string, line: number): CsvError {
  const rest = "nothing from there on was read.";
  if (code === "CSV_MAX_RECORD_SIZE")
    return new CsvError(
      line,
      `The row that begins on line ${line} is longer than ${maxRowCharacters.toLocaleString("en")} characters, as after a quote that is never closed: ${rest}`,
    );
  return code === "CSV_QUOTE_NOT_CLOSED"
    ? new CsvError(line, `In the row that begins on line ${line} a quote opens that is never closed: ${rest}`)
    : new CsvError(line, `The row that begins on line ${line} cannot be read (${code}): ${rest}`);
}
