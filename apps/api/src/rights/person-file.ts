import { exportSections, type ExportedRow } from "@polder/clickhouse";

export type ExportFormat = "json" | "csv";

/** The lines of a file with everything about a person, as the rows come. */
export function personFile(
  format: ExportFormat,
  rows: AsyncIterable<ExportedRow>,
  head: { site: string; person: number; exportedAt: Date },
): AsyncGenerator<string> {
  return format === "csv" ? csvOf(rows) : jsonOf(rows, head);
}

async function* jsonOf(
  rows: AsyncIterable<ExportedRow>,
  { site, person, exportedAt }: { site: string; person: number; exportedAt: Date },
): AsyncGenerator<string> {
  const facts = { site, person, exportedAt: exportedAt.toISOString() };
  yield JSON.stringify(facts).slice(0, -1);
  let at = -1;
  let isFirst = true;
  // Sections come in their order; those without a row are there, too.
  const upTo = function* (index: number): Generator<string> {
    while (at < index) {
      if (at >= 0) yield "]";
      at++;
      isFirst = true;
      if (at < exportSections.length) yield `,\n"${exportSections[at]}":[`;
    }
  };
  for await (const { section, ...row } of rows) {
    yield* upTo(exportSections.indexOf(section));
    yield `${isFirst ? "\n" : ",\n"}${JSON.stringify(row)}`;
    isFirst = false;
  }
  yield* upTo(exportSections.length);
  yield "}\n";
}

const columns = ["section", "time", "name", "value", "origin", "basis", "purposes", "recipient", "details"] as const;

async function* csvOf(rows: AsyncIterable<ExportedRow>): AsyncGenerator<string> {
  yield `${columns.join(",")}\r\n`;
  for await (const row of rows)
    yield `${columns
      .map((column) => {
        const value = row[column];
        if (typeof value === "string") return cell(value);
        return cell(Array.isArray(value) ? value.join(" ") : JSON.stringify(value));
      })
      .join(",")}\r\n`;
}

/** A spreadsheet takes what begins with one of these for a formula. */
const formula = /^[=+\-@\t\r]/;

function cell(value: string): string {
  const text = formula.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
