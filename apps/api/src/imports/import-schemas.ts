import { importKinds } from "@polder/core";
import * as v from "valibot";

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const time = v.pipe(v.number(), v.integer(), v.description("Milliseconds since 1970"));
const shortText = v.pipe(text, v.minLength(1), v.maxLength(200));
const kind = v.picklist(importKinds, `kind is one of ${importKinds.join(", ")}`);
const yesOrNo = v.pipe(
  v.optional(v.picklist(["true", "false"]), "false"),
  v.transform((value) => value === "true"),
);

export const importQuery = v.object({
  kind: v.pipe(kind, v.description("What a row is")),
  dryRun: v.pipe(yesOrNo, v.description("Sends nothing, and says what would be")),
  mapping: v.pipe(
    v.optional(v.pipe(text, v.maxLength(12_000))),
    v.description(
      "Which column holds what: JSON as docs/import-mapping.schema.json says, or `auto` for what the names of the columns say. A dry run does without",
    ),
  ),
  actor: v.pipe(v.optional(shortText), v.description("Who imports. Needed but for a dry run")),
  file: v.pipe(v.optional(shortText, "upload"), v.description("Name of the file, for the record")),
  asOf: v.pipe(
    v.optional(v.pipe(text, v.isoTimestamp("asOf is a time with a zone, as 2026-11-22T20:15:00Z"))),
    v.description(
      "When the file was written, for rows without a time: of two files that differ the newer holds. Absent: such rows are refused",
    ),
  ),
});

const refusedRow = v.object({
  line: v.pipe(count, v.description("Line of the file, from 1")),
  column: v.pipe(text, v.description("Header of the column; empty when it is the row as a whole")),
  reason: text,
  detail: text,
});

export const importReport = v.object({
  import: v.pipe(text, v.description("Its id: import_id in the properties of its events; empty in a dry run")),
  site: text,
  kind,
  dryRun: v.boolean(),
  isFinished: v.pipe(
    v.boolean(),
    v.description("False: it broke off, and `message` says why. Send the file again then"),
  ),
  message: text,
  encoding: text,
  separator: text,
  columns: v.pipe(v.record(text, text), v.description("By header, what it was taken for")),
  notTaken: v.array(text),
  origin: text,
  basis: v.pipe(text, v.description("Lawful basis of the key; empty when none was given")),
  counts: v.object({
    rows: count,
    refusedRows: count,
    new: count,
    corrected: count,
    known: v.pipe(count, v.description("Events that were stated before: they are not sent")),
    accepted: v.pipe(count, v.description("Events that the collector took")),
    nobody: v.pipe(count, v.description("Rows that name nobody")),
    newPeople: v.pipe(count, v.description("In a dry run")),
    knownPeople: v.pipe(count, v.description("In a dry run")),
  }),
  refused: v.pipe(v.array(refusedRow), v.description("The first 1,000")),
  moreRefused: count,
  events: v.pipe(
    v.array(v.object({ line: count, event: v.record(text, v.unknown()) })),
    v.description("Of a dry run: what the first rows would be"),
  ),
});
export type ImportReport = v.InferOutput<typeof importReport>;

export const importList = v.object({
  imports: v.array(
    v.object({
      id: text,
      site: text,
      kind: text,
      startedAt: time,
      finishedAt: v.pipe(v.nullable(time), v.description("Null: it was cut off, or goes on")),
      actor: text,
      fileName: text,
      origin: text,
      partner: text,
      basis: v.pipe(text, v.description("Lawful basis of the key that it came with")),
      rows: count,
      refused: count,
      sent: count,
      stored: v.pipe(count, v.description("Events of it that are in the tables now")),
    }),
  ),
});
