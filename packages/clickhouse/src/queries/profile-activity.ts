import type { Profile, TimelineEvent, Touch } from "./read-queries.ts";

/** An event of a person, as {@link selectActivity} gives it. Empty text means none. */
export interface ActivityRow extends Omit<TimelineEvent, "choices" | "properties"> {
  messageId: string;
  anonymousId: string;
  userId: string;
  consentId: string;
  regime: string;
  notice: string;
  referrerHost: string;
  utmSource: string;
  utmMedium: string;
  utmCampaign: string;
  choices: [purpose: string, state: string][];
}

/** SELECT list over `atom_event AS e`. */
export const selectActivity = `
  e._partition AS partition, e._offset AS offset, toUnixTimestamp64Milli(e.time) AS time, e.type AS type, e.name AS name, e.atom AS atom,
  anonymous_id AS anonymousId, user_id AS userId, message_id AS messageId, session_id AS sessionId, url_host AS urlHost, url_path AS urlPath,
  page_title AS pageTitle, page_group AS pageGroup, referrer_host AS referrerHost, channel, utm_source AS utmSource, utm_medium AS utmMedium,
  utm_campaign AS utmCampaign, country, device, browser, os, origin, partner, consent_mask AS consentMask, consent_id AS consentId, regime, notice,
  basis, order_id AS orderId, toString(e.amount) AS amount, currency, arrayZip(\`choice.purpose\`, \`choice.state\`) AS choices`;

const isPage = ({ type }: ActivityRow): boolean => type === "page" || type === "screen";
const isTouch = ({ channel }: ActivityRow): boolean => channel !== "" && channel !== "internal";

/** What a profile says of everything that somebody has ever done. */
export type Totals = Pick<Profile, "firstSeen" | "lastSeen" | "counters" | "revenue" | "firstTouch" | "lastTouch">;

/**
 * The totals of somebody all of whose events are here, newest first: what `profile_state` says, without asking it.
 * Undefined without events.
 */
export function totalsOf(rows: readonly ActivityRow[]): Totals | undefined {
  const [newest, oldest] = [rows.at(0), rows.at(-1)];
  if (newest === undefined || oldest === undefined) return undefined;
  const orders = new Map<string, string>();
  const refunds: [currency: string, amount: string][] = [];
  for (const { name, currency, orderId, messageId, amount } of rows) {
    if (name === "Order Completed") {
      const key = `${currency} ${orderId === "" ? messageId : orderId}`;
      const known = orders.get(key);
      if (known === undefined || toTenThousandths(amount) > toTenThousandths(known)) orders.set(key, amount);
    }
    if (name === "Order Refunded") refunds.push([currency, amount]);
  }
  const touches = rows.filter(isTouch);
  return {
    firstSeen: oldest.time,
    lastSeen: newest.time,
    counters: {
      events: rows.length,
      pageViews: rows.filter(isPage).length,
      clicks: rows.filter(({ name }) => name === "Clicked").length,
      sessions: new Set(rows.map(({ sessionId }) => sessionId).filter((id) => id !== "")).size,
      orders: orders.size,
    },
    revenue: revenueOf([...orders], refunds),
    firstTouch: touchOf(touches.at(-1)),
    lastTouch: touchOf(touches.at(0)),
  };
}

const touchOf = (row: ActivityRow | undefined): Touch =>
  row === undefined
    ? { channel: "", referrerHost: "", utmSource: "", utmMedium: "", utmCampaign: "", landingPage: "" }
    : {
        channel: row.channel,
        referrerHost: row.referrerHost,
        utmSource: row.utmSource,
        utmMedium: row.utmMedium,
        utmCampaign: row.utmCampaign,
        landingPage: row.urlHost + row.urlPath,
      };

/** By currency, the orders less the refunds, which are negative. @param orders by `EUR order-id`: one that was sent twice is there once. */
export function revenueOf(
  orders: readonly (readonly [key: string, amount: string])[],
  refunds: readonly (readonly [currency: string, amount: string])[],
): Profile["revenue"] {
  const sums = new Map<string, bigint>();
  const add = (currency: string, amount: string) =>
    sums.set(currency, (sums.get(currency) ?? 0n) + toTenThousandths(amount));
  for (const [key, amount] of orders) add(key.slice(0, key.indexOf(" ")), amount);
  for (const [currency, amount] of refunds) add(currency, amount);
  return [...sums]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([currency, amount]) => ({ currency, amount: fromTenThousandths(amount) }));
}

// Money is exact: amounts have four decimals, and a number of JavaScript would round large sums.
function toTenThousandths(amount: string): bigint {
  const [whole = "0", decimals = ""] = amount.split(".");
  return BigInt(whole + decimals.padEnd(4, "0"));
}

function fromTenThousandths(amount: bigint): string {
  const digits = String(amount < 0n ? -amount : amount).padStart(5, "0");
  const decimals = digits.slice(-4).replace(/0+$/, "");
  return `${amount < 0n ? "-" : ""}${digits.slice(0, -4)}${decimals === "" ? "" : `.${decimals}`}`;
}

/** The last one seen first. Servers are no devices. */
export function devicesOf(rows: readonly ActivityRow[]): Profile["devices"] {
  const devices = new Map<string, Profile["devices"][number]>();
  for (const { device, browser, os, country, time } of rows) {
    if (device === "" || device === "server") continue;
    const key = JSON.stringify([device, browser, os, country]);
    const known = devices.get(key);
    if (known === undefined) devices.set(key, { device, browser, os, country, events: 1, lastSeen: time });
    else known.events++;
  }
  return [...devices.values()];
}

/** The one begun last first. */
export function sessionsOf(rows: readonly ActivityRow[]): Profile["sessions"] {
  const sessions = new Map<string, ActivityRow[]>();
  for (const row of rows) {
    if (row.sessionId === "") continue;
    const known = sessions.get(row.sessionId);
    if (known === undefined) sessions.set(row.sessionId, [row]);
    else known.push(row);
  }
  return [...sessions]
    .map(([id, events]) => {
      const pages = events.filter(isPage);
      return {
        id,
        start: events.at(-1)?.time ?? 0,
        end: events.at(0)?.time ?? 0,
        events: events.length,
        pageViews: pages.length,
        entryPath: pages.at(-1)?.urlPath ?? "",
        exitPath: pages.at(0)?.urlPath ?? "",
        channel: events.findLast(isTouch)?.channel ?? "",
      };
    })
    .toSorted((a, b) => b.start - a.start);
}
