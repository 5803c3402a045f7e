import { defaultRetention, type SiteRetention } from "@polder/core";

import { quoteText } from "./clickhouse.ts";

/**
 * Every table that holds what visitors sent, with the two facts that decide when a row goes, as SQL over its columns: the week in which it arrived,
 * and whether it is of somebody known.
 */
export const retainedTables = {
  events: { week: "toMonday(received_at)", isKnown: "is_known" },
  rejected: { week: "toMonday(received_at)", isKnown: "0" },
  identity_edge: { week: "toMonday(received_at)", isKnown: "user_id != ''" },
  atom: { week: "week", isKnown: "is_known" },
  profile_state: { week: "week", isKnown: "is_known" },
  trait_state: { week: "week", isKnown: "is_known" },
  session_state: { week: "week", isKnown: "is_known" },
  consent_state: { week: "week", isKnown: "is_known" },
  audience_day: { week: "week", isKnown: "is_known" },
  import_row: { week: "toMonday(received_at)", isKnown: "is_known" },
  atom_event: { week: "week", isKnown: "is_known" },
  audience_log: { week: "toMonday(at)", isKnown: "1" },
  audience_size: { week: "toMonday(hour)", isKnown: "1" },
} as const satisfies { [table: string]: { week: string; isKnown: string } };

export type RetainedTable = keyof typeof retainedTables;

/** Tables without a time to go, and why that is right. */
export const keptTables: { readonly [table: string]: string } = {
  audience: "definitions, no visitors",
  audience_export: "who exported what and when: no visitors",
  audience_export_person: "numbers, for an hour at most",
  audience_identity: "who belonged to whom, by number: as in identity",
  audience_member: "who is in an audience, by number: one leaves it when nothing is left that the definition asks for",
  audience_permit: "who may be used for what, by number: worked out anew with every tick",
  audience_tick: "no visitors",
  audience_told: "no visitors",
  computed_trait: "definitions, no visitors",
  consent_log:
    "proof of what was agreed to: a chain has no gaps. What leads from it to a person is in `atom`, which goes",
  consent_notice: "texts of the site, no visitors",
  consent_receipt: "proof of what was removed: numbers, and for eight days the key of the id that withdrew",
  consent_setting: "what was configured, no visitors",
  erasure: "proof of who asked for an erasure, when and why: numbers and keyed hashes, no ids of visitors",
  erasure_key: "no visitors",
  erasure_receipt: "proof of what was erased: numbers",
  erasure_turn: "no visitors",
  identity: "who belongs to whom, by number: cleared of numbers that are gone by the worker",
  identity_decision: "who decided that two ids are one person or not, and why: an erasure takes out the ids",
  identity_position: "numbers alone: how far people are worked out",
  identity_quarantine: "numbers alone: which people have too many identities",
  identity_tie: "numbers alone: whose the nameless are",
  ledger: "counts by site and hour, no visitors",
  ledger_progress: "no visitors",
  log_gap: "no visitors",
  log_position: "numbers alone: how far the log is loaded",
  log_source: "no visitors",
  person_flag: "who may not be used, by their own wish: it holds until it is taken back or the person is erased",
  person_atom: "who belongs or belonged to whom, by number: as in identity",
  replayed: "which records were read again: no ids of visitors",
  retention_policy: "what was configured, no visitors",
  migration: "no visitors",
  migration_week: "no visitors",
};

/**
 * The TTL of a table, as ClickHouse checks it when it merges. Rows of a week go together, on the day when the first of them reaches its age, so that
 * a merge has something to remove once a week and not all the time.
 */
export function ttlOf(table: RetainedTable, sites: readonly SiteRetention[]): string {
  const { week, isKnown } = retainedTables[table];
  const daysOf = (days: "anonymousDays" | "knownDays"): string => {
    const others = sites.filter(({ retention }) => retention[days] !== defaultRetention[days]);
    if (others.length === 0) return `toUInt16(${defaultRetention[days]})`;
    const ids = others.map(({ id }) => quoteText(id)).join(", ");
    const values = others.map(({ retention }) => `toUInt16(${retention[days]})`).join(", ");
    return `transform(site::String, [${ids}], [${values}], toUInt16(${defaultRetention[days]}))`;
  };
  const goesOn = `${week} + toIntervalDay(if(${isKnown}, ${daysOf("knownDays")}, ${daysOf("anonymousDays")}))`;
  // A row of `atom` without a week only keeps its number taken. ClickHouse keeps what has no time to go.
  return table === "atom" ? `if(week = toDate(0), toDate(0), ${goesOn})` : goesOn;
}
