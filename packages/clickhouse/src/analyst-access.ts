import { quoteText } from "./clickhouse.ts";

interface ReadTable {
  /** Rows of people who were erased are not there, from the call on: of whom a row is, as a column; of nobody at all (0) it stays. */
  of?: string;
  columns?: readonly string[];
}

/** Tables that analysts may read. The views may be read too, all of them, and answer from every table. */
export const analystTables: { readonly [table: string]: ReadTable } = {
  events: { of: "atom" },
  atom: { of: "atom" },
  atom_event: { of: "atom" },
  profile_state: { of: "atom" },
  trait_state: { of: "atom" },
  session_state: { of: "of_atom" },
  consent_state: { of: "atom" },
  import_row: { of: "atom" },
  audience_day: {},
  // Without the body, which is whatever somebody sent.
  rejected: {
    columns: [
      "site",
      "received_at",
      "message_id",
      "type",
      "name",
      "reason",
      "detail",
      "rule_version",
      "_partition",
      "_offset",
    ],
  },
  consent_log: {},
  consent_notice: {},
  consent_setting: {},
  ledger: {},
  ledger_progress: {},
  log_gap: {},
  log_source: {},
  migration: {},
  migration_week: {},
  replayed: {},
  retention_policy: {},
};

export const analystViews: readonly string[] = [
  "audience_days",
  "audience_members",
  "audience_sizes",
  "audiences",
  "consent_choices",
  "events_v",
  "imports",
  "loss_balance",
  "loss_ledger",
  "orders",
  "page_views",
  "people",
  "retention",
  "session_gaps",
  "sessions",
];

/** Tables that analysts may not read, and why. A table is here or in {@link analystTables}. */
export const withheldTables: { readonly [table: string]: string } = {
  audience: "who defined it and why: the view audiences has what it says",
  audience_export: "who exported what to whom",
  audience_export_person: "who is in a file",
  audience_identity: "of the worker",
  audience_log: "has people who were erased until whoever got the audience has been told: the view audience_members",
  audience_member: "the view audience_members",
  audience_permit: "who may be used for what",
  audience_size: "members of anonymous audiences: the view audience_sizes",
  audience_tick: "of the worker",
  audience_told: "of the worker",
  computed_trait: "who defined it and why",
  consent_receipt: "hashes of ids that withdrew",
  erasure: "who was erased, by hashes, and who asked for it",
  erasure_key: "with it an id can be tried on the hashes",
  erasure_receipt: "of whom how much there was",
  erasure_turn: "of the worker",
  identity: "who belongs to whom: person(atom) says it",
  identity_decision: "ids, who decided about them and why",
  identity_edge: "plain hashes of addresses and telephone numbers",
  identity_position: "of the worker",
  identity_quarantine: "of the worker",
  identity_tie: "of the worker",
  log_position: "of the loader: numbers of identities",
  person_atom: "who belonged to whom",
  person_flag: "who objected, who wrote it down and why",
};

/** What the analyst's user is granted in the database: tables and views by name, and of rows those that are of nobody who was erased. */
export function analystAccess(database: string): {
  name: string;
  tables: { [table: string]: { rows?: string; columns?: readonly string[] } };
  dictionaries: readonly string[];
} {
  // A policy knows no functions of ours.
  const isThere = (of: string): string =>
    `${of} = 0 OR dictGetOrDefault(${quoteText(`${database}.identity_dict`)}, 'person', ${of}, ${of}) != 0`;
  const tables = Object.entries(analystTables).map(
    ([table, { of, columns }]) =>
      [table, { ...(of !== undefined && { rows: isThere(of) }), ...(columns && { columns }) }] as const,
  );
  return {
    name: database,
    tables: Object.fromEntries([...tables, ...analystViews.map((view) => [view, {}] as const)]),
    dictionaries: ["identity_dict"],
  };
}
