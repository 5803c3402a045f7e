import { toWellFormed } from "@polder/protocol";
import type { EventRow } from "../row/event-row.ts";
import { epochText } from "./time-text.ts";

/**
 * Writes rows as one line of JSON each. Columns that hold their default are left out, which ClickHouse fills in the same: half of a row is
 * empty, and what is not there is neither written, nor kept in the log, nor parsed. What the events of a request have in common (page, browser,
 * choice) is written once and used again while it stays the same.
 *
 * Columns are spelled out here, twice: reading them by names from a list takes several times as long, and this is on the path of every event.
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

const haveInCommon = (one: EventRow, other: EventRow): boolean =>
  // What tells visitors and pages apart comes first: it ends the comparison of two requests.
  one.anonymous_id === other.anonymous_id &&
  one.session_id === other.session_id &&
  one.url_path === other.url_path &&
  one.consent_mask === other.consent_mask &&
  one.bot_score === other.bot_score &&
  one.site === other.site &&
  one.day === other.day &&
  one.received_at === other.received_at &&
  one.user_id === other.user_id &&
  one.origin === other.origin &&
  one.partner === other.partner &&
  one.consent_id === other.consent_id &&
  one.regime === other.regime &&
  one.basis === other.basis &&
  one.url_host === other.url_host &&
  one.url_query === other.url_query &&
  one.page_title === other.page_title &&
  one.page_group === other.page_group &&
  one.referrer_host === other.referrer_host &&
  one.referrer_path === other.referrer_path &&
  one.channel === other.channel &&
  one.utm_source === other.utm_source &&
  one.utm_medium === other.utm_medium &&
  one.utm_campaign === other.utm_campaign &&
  one.utm_term === other.utm_term &&
  one.utm_content === other.utm_content &&
  one.click_id_kind === other.click_id_kind &&
  one.click_id === other.click_id &&
  one.country === other.country &&
  one.ip === other.ip &&
  one.device === other.device &&
  one.browser === other.browser &&
  one.os === other.os &&
  one.bot === other.bot &&
  one.locale === other.locale &&
  one.timezone === other.timezone &&
  one.library === other.library;

const encodeCommon = (row: EventRow): string =>
  '{"consent_mask":' +
  row.consent_mask +
  (row.bot_score === 0 ? "" : ',"bot_score":' + row.bot_score) +
  member(',"site":', row.site) +
  member(',"day":', row.day) +
  member(',"received_at":', row.received_at) +
  member(',"anonymous_id":', row.anonymous_id) +
  member(',"user_id":', row.user_id) +
  member(',"session_id":', row.session_id) +
  member(',"origin":', row.origin) +
  member(',"partner":', row.partner) +
  member(',"consent_id":', row.consent_id) +
  member(',"regime":', row.regime) +
  member(',"basis":', row.basis) +
  member(',"url_host":', row.url_host) +
  member(',"url_path":', row.url_path) +
  member(',"url_query":', row.url_query) +
  member(',"page_title":', row.page_title) +
  member(',"page_group":', row.page_group) +
  member(',"referrer_host":', row.referrer_host) +
  member(',"referrer_path":', row.referrer_path) +
  member(',"channel":', row.channel) +
  member(',"utm_source":', row.utm_source) +
  member(',"utm_medium":', row.utm_medium) +
  member(',"utm_campaign":', row.utm_campaign) +
  member(',"utm_term":', row.utm_term) +
  member(',"utm_content":', row.utm_content) +
  member(',"click_id_kind":', row.click_id_kind) +
  member(',"click_id":', row.click_id) +
  member(',"country":', row.country) +
  member(',"ip":', row.ip) +
  member(',"device":', row.device) +
  member(',"browser":', row.browser) +
  member(',"os":', row.os) +
  member(',"bot":', row.bot) +
  member(',"locale":', row.locale) +
  member(',"timezone":', row.timezone) +
  member(',"library":', row.library);

const encodeOwn = (row: EventRow): string =>
  member(',"type":', row.type) +
  member(',"name":', row.name) +
  member(',"time":', row.time) +
  member(',"message_id":', row.message_id) +
  member(',"group_id":', row.group_id) +
  member(',"previous_id":', row.previous_id) +
  member(',"order_id":', row.order_id) +
  member(',"currency":', row.currency) +
  member(',"notice":', row.notice) +
  (row.client_time === epochText ? "" : ',"client_time":"' + row.client_time + '"') +
  (row.session_start === epochText ? "" : ',"session_start":"' + row.session_start + '"') +
  (row.session_seq === 0 ? "" : ',"session_seq":' + row.session_seq) +
  (row.amount === "0" ? "" : ',"amount":"' + row.amount + '"') +
  (row["traits.name"].length === 0 ? "" : encodeTraits(row)) +
  (row["choice.purpose"].length === 0 ? "" : encodeChoices(row)) +
  ',"properties":' +
  JSON.stringify(row.properties) +
  "}";

const encodeTraits = (row: EventRow): string =>
  list("traits.name", row) +
  list("traits.value", row) +
  list("traits.class", row) +
  list("traits.purpose", row) +
  list("traits.personal", row);

const encodeChoices = (row: EventRow): string => list("choice.purpose", row) + list("choice.state", row);

const list = (column: `${"traits" | "choice"}.${string}` & keyof EventRow, row: EventRow): string =>
  `,"${column}":${JSON.stringify(row[column])}`;

const member = (prefix: string, text: string): string => (text === "" ? "" : prefix + quote(text));

// Anything but text that JSON takes as it is: no quotes, backslashes, control characters or halves of pairs.
const special = /[^ !#-[\]-\ud7ff\ue000-\uffff]/;
// Cutting a text can halve a pair, which ClickHouse refuses in an escape.
const quote = (text: string): string => (special.test(text) ? JSON.stringify(toWellFormed(text)) : '"' + text + '"');
