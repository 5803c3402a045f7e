import type { StoredEvent } from "./read-queries.ts";

/** A row of `events` as {@link selectEvent} gives it. */
export type EventSelection = Omit<StoredEvent, "choices"> & { choices: [purpose: string, state: string][] };

/** SELECT list for {@link toStoredEvent}. */
export const selectEvent = `
  _partition AS partition, _offset AS offset, site, toUnixTimestamp64Milli(time) AS time, toUnixTimestamp64Milli(received_at) AS receivedAt,
  type, name, atom, person(atom) AS person, url_host AS urlHost, url_path AS urlPath, page_title AS pageTitle, page_group AS pageGroup, channel, country,
  device, browser, os, bot, consent_mask AS consentMask, basis, session_id AS sessionId, order_id AS orderId, toString(amount) AS amount, currency,
  arrayZip(\`choice.purpose\`, \`choice.state\`) AS choices`;

export const toStoredEvent = (row: EventSelection): StoredEvent => ({
  ...row,
  choices: row.choices.map(([purpose, state]) => ({ purpose, state })),
});
