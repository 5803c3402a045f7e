import type { StoredEvent } from "@polder/clickhouse";
import { purposesOf } from "@polder/protocol";
import type { LiveEvent } from "./schemas.ts";

export const toLiveEvent = (event: StoredEvent): LiveEvent => ({
  id: `${event.partition}:${event.offset}`,
  site: event.site,
  time: event.time,
  receivedAt: event.receivedAt,
  type: event.type,
  name: event.name,
  atom: event.atom === 0 ? null : event.atom,
  person: event.person === 0 ? null : event.person,
  urlHost: event.urlHost,
  urlPath: event.urlPath,
  pageTitle: event.pageTitle,
  pageGroup: event.pageGroup,
  channel: event.channel,
  country: event.country,
  device: event.device,
  browser: event.browser,
  os: event.os,
  bot: event.bot,
  purposes: purposesOf(event.consentMask),
  basis: event.basis,
  orderId: event.orderId,
  amount: event.amount,
  currency: event.currency,
  choices: event.choices,
});
