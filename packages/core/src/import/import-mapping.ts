import { origins } from "@polder/protocol";
import { nearestName } from "../config/nearest-name.ts";
import { readByRule, type ConfigProblem } from "../config/read-by-rule.ts";
import type { ObjectRule, ValueOf } from "../config/rule.ts";
import { importFields, importKinds, type CellType, type ImportKind } from "./import-kinds.ts";

export const encodings = ["utf-8", "utf-16le", "utf-16be", "windows-1252"] as const;
export type ImportEncoding = (typeof encodings)[number];

const target = /^(?:-|[a-z][a-z_]*|(?:trait|property):[^\s:][^:]{0,99})$/;
const targetWords = "a field of the kind, `trait:<name>`, `property:<name>`, or `-` for a column that is not taken";

/** All of a mapping. The parser, the type and the published schema come from it. */
export const mappingRule = {
  type: "object",
  about: "Which column of a file holds what. Columns that are not named are not taken.",
  fields: {
    $schema: { type: "text", optional: true, about: "Where an editor finds the schema of this file." },
    kind: { type: "one_of", about: "What a row is.", values: importKinds },
    columns: {
      type: "map",
      about: `By header of a column, what it holds: ${targetWords}.`,
      isNotEmpty: true,
      of: { type: "text", about: "What the column holds.", pattern: target, expected: targetWords },
    },
    constants: {
      type: "map",
      about: 'By the same words, what holds for every row, written as in a cell: { "property:store": "Delft" }.',
      default: {},
      of: { type: "text", about: "The value.", pattern: /\S/, expected: "a value" },
    },
    leaveOut: {
      type: "list",
      about:
        "Headers of columns of which a cell that cannot be read is left out, where it would otherwise refuse its row.",
      default: [],
      of: { type: "text", about: "A header." },
    },
    timezone: {
      type: "text",
      optional: true,
      about: "IANA zone of times that name none. Absent: the site's.",
      check: checkTimezone,
    },
    dates: {
      type: "one_of",
      about:
        "How 03/04/2026 is read. auto: 2026-04-03 and 3-4-2026 (day first) are read; with slashes only what can be read in one way.",
      values: ["auto", "day_first", "month_first"],
      default: "auto",
    },
    decimal: {
      type: "one_of",
      about: "How 1.234 is read. auto: only what can be read in one way; 1.234,56 and 59,95 can.",
      values: ["auto", ",", "."],
      default: "auto",
    },
    currency: {
      type: "text",
      optional: true,
      about: "ISO 4217 currency of amounts that name none. Absent: the site's.",
      pattern: /^[A-Z]{3}$/,
      expected: "a code of three capitals, as EUR",
    },
    phoneCode: {
      type: "text",
      optional: true,
      about: "Country code of phone numbers that begin with one 0, as 31. Absent: they stay as they are.",
      pattern: /^[1-9]\d{0,2}$/,
      expected: "one to three digits, as 31",
    },
    origin: { type: "one_of", about: "Who states what is in the file.", values: origins, default: "observed" },
    partner: {
      type: "object",
      optional: true,
      about: "With the origin partner: who, and on which basis.",
      fields: {
        name: { type: "text", about: "The partner's name.", pattern: /^\S.{0,199}$/, expected: "a name" },
        basis: { type: "text", about: "The basis on which it is shared.", pattern: /\S/, expected: "a sentence" },
      },
    },
    encoding: {
      type: "one_of",
      optional: true,
      about: "How the file is written. Absent: by its first bytes, and by what can be read.",
      values: encodings,
    },
    separator: {
      type: "text",
      optional: true,
      about: "What stands between cells: a comma, a semicolon, a tab. Absent: by the first line.",
      pattern: /^[,;\t|]$/,
      expected: "one of , ; | and a tab (\\t)",
    },
  },
} as const satisfies ObjectRule;

export type ImportMapping = ValueOf<typeof mappingRule>;

export type MappingResult = { ok: true; mapping: ImportMapping } | { ok: false; faults: readonly ConfigProblem[] };

/** A mapping with its defaults filled in, or everything that is wrong with it. Never throws. */
export function parseImportMapping(value: unknown): MappingResult {
  const faults: ConfigProblem[] = [];
  const mapping = readByRule(mappingRule, value, "", faults) as ImportMapping;
  if (faults.length === 0) findContradictions(mapping, faults);
  return faults.length === 0 ? { ok: true, mapping } : { ok: false, faults };
}

function findContradictions(mapping: ImportMapping, faults: ConfigProblem[]): void {
  const { kind, columns, constants, origin, partner, leaveOut } = mapping;
  const holders = new Map<string, string>();
  const check = (path: string, to: string): void => {
    if (to === "-") return;
    if (!to.includes(":") && !Object.hasOwn(importFields[kind], to)) {
      const names = Object.keys(importFields[kind]);
      const nearest = nearestName(to, names);
      const hint = nearest === undefined ? `use one of ${names.join(", ")}` : `did you mean \`${nearest}\``;
      faults.push({ path, message: `is no field of ${kind}: ${hint}, or write trait:${to} or property:${to}.` });
    } else if (to.startsWith("property:") && kind === "contacts")
      faults.push({ path, message: "is a property, and nothing happened to a contact: write trait:<name>." });
    const holder = holders.get(to);
    if (holder === undefined) holders.set(to, path);
    else faults.push({ path, message: `goes where ${holder} goes: each field has one column.` });
  };
  for (const [header, to] of Object.entries(columns)) check(`columns.${header}`, to);
  for (const to of Object.keys(constants)) {
    if (target.test(to) && to !== "-") check(`constants.${to}`, to);
    else faults.push({ path: `constants.${to}`, message: `must be named by ${targetWords}.` });
  }
  for (const [name, field] of Object.entries(importFields[kind]))
    if (field.isNeeded === true && !holders.has(name))
      faults.push({ path: "columns", message: `has nothing for ${name}, which ${kind} need: ${field.about}` });
  if (kind === "contacts" && !personFields.some((name) => holders.has(name)))
    faults.push({ path: "columns", message: `has no column that says who: ${personFields.join(", ")}.` });
  leaveOut.forEach((header, index) => {
    if (!Object.hasOwn(columns, header))
      faults.push({ path: `leaveOut[${index}]`, message: "is no header of `columns`." });
  });
  if (origin === "partner" && partner === undefined)
    faults.push({ path: "partner", message: "is missing: the origin partner needs its name and its basis." });
  if (origin !== "partner" && partner !== undefined)
    faults.push({ path: "partner", message: "belongs to the origin partner: set origin, or leave it out." });
}

export const personFields = ["user_id", "anonymous_id", "email", "phone"] as const;

/** How the cells of a target are read, and where they go. */
export interface Target {
  type: CellType;
  to: { trait: string } | { property: string } | { own: string };
}

export function targetOf(kind: ImportKind, to: string): Target | undefined {
  const [sort = "", name] = to.split(":");
  if (sort === "trait" && name !== undefined) return { type: "text", to: { trait: name } };
  if (sort === "property" && name !== undefined) return { type: "text", to: { property: name } };
  if (!Object.hasOwn(importFields[kind], to)) return undefined;
  const field = importFields[kind][to]!;
  return { type: field.type, to: field.to === "own" ? { own: to } : field.to };
}

function checkTimezone(zone: string): string | undefined {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone }).format(0);
    return /^[+-]/.test(zone) ? "must be an IANA zone, as Europe/Amsterdam." : undefined;
  } catch {
    return "must be an IANA zone, as Europe/Amsterdam or UTC.";
  }
}
