import { toWellFormed } from "@polder/protocol";
import type { EventRow } from "../row/event-row.ts";
import { epochText } from "./time-text.ts";

/**
 * Writes rows as one line of JSON each. Columns that hold their default are left out, which ClickHouse fills in the same: half of a row is
 * empty, and what is not there is neither written, nor kept in the log, nor parsed. What the events of a request have in common (page, browser,
 * choice) is written once and used again while it stays the same.
 */
export function createRowEncoder(): (row: EventRow) => string {
  let lastRow: EventRow | undefined;
  let lastCommon = "";
  return (row) => {
    if (lastRow === undefined || !haveInCommon(row, lastRow)) {
      lastCommon = encodeCommon(row);
      lastRow = row;
    }
    return lastCommon + encodeOwn(row);
  };
}

function haveInCommon(one: EventRow, other: EventRow): boolean {
  if (one.consent_mask !== other.consent_mask || one.bot_score !== other.bot_score) return false;
  for (const [column] of commonTexts) if (one[column] !== other[column]) return false;
  return true;
}

function encodeCommon(row: EventRow): string {
  let json = '{"consent_mask":' + row.consent_mask;
  if (row.bot_score !== 0) json += ',"bot_score":' + row.bot_score;
  return json + encodeTexts(row, commonTexts);
}

function encodeOwn(row: EventRow): string {
  let json = encodeTexts(row, ownTexts);
  if (row.client_time !== epochText) json += ',"client_time":"' + row.client_time + '"';
  if (row.session_start !== epochText) json += ',"session_start":"' + row.session_start + '"';
  if (row.session_seq !== 0) json += ',"session_seq":' + row.session_seq;
  if (row.amount !== "0") json += ',"amount":"' + row.amount + '"';
  if (row["traits.name"].length > 0 || row["choice.purpose"].length > 0) json += encodeLists(row);
  return json + ',"properties":' + JSON.stringify(row.properties) + "}";
}

function encodeTexts(row: EventRow, columns: readonly (readonly [TextColumn, string])[]): string {
  let json = "";
  for (const [column, prefix] of columns) {
    const text = row[column];
    if (text !== "") json += prefix + quote(text);
  }
  return json;
}

function encodeLists(row: EventRow): string {
  let json = "";
  for (const [column, prefix] of lists) if (row[column].length > 0) json += prefix + JSON.stringify(row[column]);
  return json;
}

// Anything but text that JSON takes as it is: no quotes, backslashes, control characters or halves of pairs.
const special = /[^ !#-[\]-\ud7ff\ue000-\uffff]/;
// Cutting a text can halve a pair, which ClickHouse refuses in an escape.
const quote = (text: string): string => (special.test(text) ? JSON.stringify(toWellFormed(text)) : '"' + text + '"');

type ColumnOf<Type> = { [C in keyof EventRow]: EventRow[C] extends Type ? C : never }[keyof EventRow];
type TextColumn = Exclude<ColumnOf<string>, "client_time" | "session_start" | "amount">;
type ListColumn = ColumnOf<readonly unknown[]>;

/** Whether a column is the same for most events of a request. As a record, so that the compiler finds one that was forgotten. */
const isCommon: { readonly [C in TextColumn]: boolean } = {
  site: true,
  day: true,
  type: false,
  name: false,
  time: false,
  received_at: true,
  message_id: false,
  anonymous_id: true,
  user_id: true,
  session_id: true,
  origin: true,
  partner: true,
  consent_id: true,
  regime: true,
  basis: true,
  url_host: true,
  url_path: true,
  url_query: true,
  page_title: true,
  page_group: true,
  referrer_host: true,
  referrer_path: true,
  channel: true,
  utm_source: true,
  utm_medium: true,
  utm_campaign: true,
  utm_term: true,
  utm_content: true,
  click_id_kind: true,
  click_id: true,
  country: true,
  ip: true,
  device: true,
  browser: true,
  os: true,
  bot: true,
  locale: true,
  timezone: true,
  library: true,
  group_id: false,
  previous_id: false,
  order_id: false,
  currency: false,
  notice: false,
};
const isList: { readonly [C in ListColumn]: true } = {
  "traits.name": true,
  "traits.value": true,
  "traits.class": true,
  "traits.purpose": true,
  "traits.personal": true,
  "choice.purpose": true,
  "choice.state": true,
};

const withPrefix = <C extends string>(column: C): readonly [C, string] => [column, `,"${column}":`];
const textColumns = Object.keys(isCommon) as TextColumn[];
const commonTexts = textColumns.filter((column) => isCommon[column]).map(withPrefix);
const ownTexts = textColumns.filter((column) => !isCommon[column]).map(withPrefix);
const lists = (Object.keys(isList) as ListColumn[]).map(withPrefix);
