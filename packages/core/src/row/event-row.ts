import type { EventType, JsonObject, Origin, Regime } from "@polder/protocol";

/**
 * The final row of the table `events`, written by the collector as JSON and never parsed again on its way.
 * The loader prepends `_partition`, `_offset` and `atom` to the bytes. Times are text as ClickHouse takes it: `2026-11-22 20:15:00.123` in UTC.
 * Empty text stands for "none" in every text column. The migration has the same columns; a test compares the two.
 */
export interface EventRow {
  site: string;
  /** Day of `time` in the site's zone: `2026-11-22`. */
  day: string;
  type: EventType;
  /** track: the event's name. Others: their type. */
  name: string;
  /** When it happened, corrected for the client's clock, bounded. */
  time: string;
  received_at: string;
  /** What the client claimed, uncorrected; the epoch when it said nothing. */
  client_time: string;
  message_id: string;
  anonymous_id: string;
  user_id: string;
  session_id: string;
  session_start: string;
  session_seq: number;
  origin: Origin;
  partner: string;
  /** What the event was allowed to be used for when it was stored. */
  consent_mask: number;
  consent_id: string;
  regime: Regime;
  /** Why it was allowed: `consent`, or the basis of its key. */
  basis: string;
  url_host: string;
  url_path: string;
  /** Query without secrets and click ids. */
  url_query: string;
  page_title: string;
  /** page, screen: the name given by the caller. First path segment as `/product` otherwise. */
  page_group: string;
  referrer_host: string;
  referrer_path: string;
  /** direct, search, social, mail, paid, referral, internal, or empty when not a page of ours. */
  channel: string;
  utm_source: string;
  utm_medium: string;
  utm_campaign: string;
  utm_term: string;
  utm_content: string;
  /** gclid, fbclid, …; with consent for ads only. */
  click_id_kind: string;
  click_id: string;
  /** ISO 3166 alpha-2, from an edge header or a table; empty when unknown. */
  country: string;
  /** Truncated to /24 or /48. */
  ip: string;
  /** desktop, mobile, tablet, tv, bot, server, or empty. */
  device: string;
  browser: string;
  os: string;
  /** Name of the bot; empty for people. Bots are kept apart by every view of people. */
  bot: string;
  bot_score: number;
  locale: string;
  timezone: string;
  library: string;
  group_id: string;
  /** alias: the id that joins user_id. */
  previous_id: string;
  order_id: string;
  /** Decimal text of money with its currency (ISO 4217); "0" and "" when the event carries none. Refunds are negative. */
  amount: string;
  currency: string;
  properties: JsonObject;
  /** Traits stated by this event (identify, group), parallel arrays; values are text: strings as they are, anything else as JSON. */
  "traits.name": string[];
  "traits.value": string[];
  "traits.class": string[];
  "traits.purpose": string[];
  "traits.personal": number[];
  /** type consent only: purposes and their states as chosen, and the notice that was shown, parallel arrays. */
  "choice.purpose": string[];
  "choice.state": string[];
  notice: string;
}

/** The final row of the table `rejected`. `body` is empty unless the sender could have been stored. */
export interface RejectedRow {
  site: string;
  received_at: string;
  message_id: string;
  type: string;
  name: string;
  reason: string;
  detail: string;
  /** What was sent, cut at 2 KiB. */
  body: string;
  /** Version of the rules that refused it, so that a fix can find what to replay. */
  rule_version: number;
}

export const ruleVersion = 1;
