import { importFields, normalHeader, type ImportKind } from "./import-kinds.ts";
import { personFields } from "./import-mapping.ts";

export interface ProposedMapping {
  /** By header, the field that it is taken for. */
  columns: { [header: string]: string };
  /** Headers that nothing was found for: their columns are not taken. */
  notTaken: string[];
  /** Needed fields that no header was found for. */
  missing: string[];
}

/** Reads headers in English and Dutch. A proposal: whoever imports says whether it is right. */
export function proposeMapping(kind: ImportKind, headers: readonly string[]): ProposedMapping {
  const fields = importFields[kind];
  const known = headers.map((header) => ({ header, normal: normalHeader(header) }));
  const columns = new Map<string, string>();
  for (const [name, field] of Object.entries(fields)) {
    const synonyms = [normalHeader(name), ...field.headers];
    // The surest word first: of `Besteldatum` and `Datum` the one that says more.
    const found = synonyms
      .map((word) => known.find(({ header, normal }) => normal === word && !columns.has(header)))
      .find((each) => each !== undefined);
    if (found !== undefined) columns.set(found.header, name);
  }
  const taken = new Set(columns.values());
  const missing = Object.entries(fields)
    .filter(([name, field]) => field.isNeeded === true && !taken.has(name))
    .map(([name]) => name);
  if (kind === "contacts" && !personFields.some((name) => taken.has(name))) missing.push(personFields.join(" or "));
  return {
    columns: Object.fromEntries(headers.filter((header) => columns.has(header)).map((h) => [h, columns.get(h)!])),
    notTaken: headers.filter((header) => !columns.has(header)),
    missing,
  };
}
