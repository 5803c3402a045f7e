import type { ConfigProblem } from "../config/read-by-rule.ts";
import { nearestName } from "../config/nearest-name.ts";
import type { Site, SiteKey } from "../ports/site-directory.ts";
import type { ImportKind } from "./import-kinds.ts";
import { parseImportMapping, type ImportEncoding, type ImportMapping } from "./import-mapping.ts";
import { createRowPlanner, type PlannedRow } from "./plan-row.ts";
import { proposeMapping } from "./propose-mapping.ts";
import { openCsv, type CsvFile, type CsvRow } from "./read-csv.ts";

export interface OpenedImport {
  ok: true;
  file: CsvFile;
  mapping: ImportMapping;
  /** Nobody has said that the mapping is right: it was made of the headers. */
  isProposed: boolean;
  /** Headers of columns that are not taken. */
  notTaken: string[];
  plan: (row: CsvRow) => PlannedRow;
}

export type OpenImportResult =
  | OpenedImport
  /** `proposed`: what was found by the headers, as a beginning of a mapping. */
  | {
      ok: false;
      faults: readonly ConfigProblem[];
      headers: readonly string[];
      proposed?: { [header: string]: string };
    };

/** Reads the first line of a file and finds out what its columns hold. Rejects with a `CsvError` where it is no file of columns. */
export async function openImport(options: {
  bytes: AsyncIterable<Uint8Array>;
  kind: ImportKind;
  /** As it stands in its file; undefined: by the headers. */
  mapping: unknown;
  site: Pick<Site, "timezone" | "currency">;
  /** Of when the file is. Milliseconds since 1970. Undefined: nobody knows, and rows without a time are refused. */
  asOf: number | undefined;
  now: () => number;
  separator?: string | undefined;
  encoding?: ImportEncoding | undefined;
}): Promise<OpenImportResult> {
  const { bytes, kind, site, asOf, now } = options;
  const parsed = options.mapping === undefined ? undefined : parseImportMapping(options.mapping);
  if (parsed?.ok === false) return { ok: false, faults: parsed.faults, headers: [] };
  const stated = parsed?.mapping;
  if (stated !== undefined && stated.kind !== kind)
    return {
      ok: false,
      faults: [{ path: "kind", message: `is ${stated.kind}, and this imports ${kind}.` }],
      headers: [],
    };

  const file = await openCsv(bytes, {
    separator: options.separator ?? stated?.separator,
    encoding: options.encoding ?? stated?.encoding,
  });
  const { headers } = file;
  const proposed = stated === undefined ? proposeMapping(kind, headers) : undefined;
  if (proposed !== undefined && proposed.missing.length > 0) {
    const message = `have nothing for ${proposed.missing.join(", ")}, which ${kind} need.`;
    return { ok: false, faults: [{ path: "Their names", message }], headers, proposed: proposed.columns };
  }
  const result =
    stated === undefined
      ? parseImportMapping({ kind, columns: proposed!.columns })
      : { ok: true as const, mapping: stated };
  if (!result.ok) return { ok: false, faults: result.faults, headers, proposed: proposed!.columns };
  const { mapping } = result;

  const faults: ConfigProblem[] = [];
  for (const header of Object.keys(mapping.columns)) {
    if (headers.includes(header)) continue;
    const nearest = nearestName(header, headers);
    const hint = nearest === undefined ? `there are ${headers.join(", ")}` : `did you mean \`${nearest}\`?`;
    faults.push({ path: `columns.${header}`, message: `is no column of the file: ${hint}` });
  }
  if (faults.length > 0) return { ok: false, faults, headers };
  return {
    ok: true,
    file,
    mapping,
    isProposed: stated === undefined,
    notTaken: headers.filter((header) => (mapping.columns[header] ?? "-") === "-"),
    plan: createRowPlanner({ mapping, headers, site, asOf, now }),
  };
}

/** Why events of this mapping would not be taken with this key; undefined when they would. */
export function importKeyFault(key: SiteKey | undefined, { origin }: ImportMapping): string | undefined {
  if (key === undefined)
    return "Nobody has this key, or it no longer counts: make one with `npx polder key add server --basis contract`.";
  if (key.kind !== "server")
    return "This is a public write key. The past is imported with a server key: `npx polder key add server --basis contract`.";
  if (key.basis === undefined)
    return "This key has no lawful basis, and rows of a file carry no consent: every one would be dropped. Give it one, as `npx polder key add server --basis contract`.";
  if (!key.basis.purposes.includes("profile"))
    return "The basis of this key does not allow `profile`: what is known of people would be dropped. Add the purpose to the key, or use another.";
  if (key.origins !== undefined && !key.origins.includes(origin))
    return `This key may not state the origin ${origin}, only ${key.origins.join(", ")}: add it to origins of the key in polder.config.json.`;
  if (origin === "third_party" && !key.site.allowThirdParty)
    return "The site takes no third-party data: set allowThirdParty in polder.config.json to change that.";
  return undefined;
}

/** An import leaves half of what a site may send to its visitors. */
export const importRateOf = ({ maxEventsPerSecond }: Pick<Site, "maxEventsPerSecond">): number =>
  Math.max(1, maxEventsPerSecond / 2);
