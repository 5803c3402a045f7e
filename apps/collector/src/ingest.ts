import {
  LogUnavailableError,
  toLogRecord,
  type LogRecord,
  type Logger,
  type Pipeline,
  type RequestContext,
  type Site,
  type SiteDirectory,
  type SiteKey,
} from "@polder/core";
import {
  hasPurpose,
  limits,
  parseRequest,
  type RefusedItem,
  type RejectedEvent,
  type RequestRoute,
} from "@polder/protocol";
import { refuse, type Outcome } from "./answer.ts";
import type { ClientAddress } from "./client-address.ts";
import type { RequestHead } from "./request-head.ts";
import type { Coalescer } from "./coalescer.ts";
import { deviceCookies, readDeviceCookie } from "./device-cookie.ts";
import { add, type CollectorMetrics } from "./metrics.ts";
import { createBodyJudge, refusedItem, toRejectedRecord } from "./rejected-record.ts";
import { createTokenBucket, type TokenBucket } from "./token-bucket.ts";

/** A request whose body has been read. */
export interface Arrival {
  text: string;
  route: RequestRoute;
  /** The key by header or address; the body's counts when there is none. */
  keyText: string | undefined;
  /** Milliseconds since 1970. */
  receivedAt: number;
  head: RequestHead;
  client: ClientAddress;
  /** Whether the key may be a server's; a key in an address ends up in logs and histories. */
  allowServerKey: boolean;
}

export interface IngestDeps {
  sites: SiteDirectory;
  pipeline: Pipeline;
  events: Coalescer;
  rejected: Coalescer;
  metrics: CollectorMetrics;
  logger: Logger;
  newId: () => string;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  /** The part of a site's rate that is this process's. */
  rateShare: number;
}

/** From the text of a request to its outcome: parse → key → origin → rate → pipeline → durable. */
export function createIngest(deps: IngestDeps): (arrival: Arrival) => Promise<Outcome> {
  const { metrics, logger } = deps;
  const findRate = createRates(deps);
  let isLogAway = false;

  async function store(records: LogRecord[], refusals: LogRecord[]): Promise<Outcome | undefined> {
    try {
      if (refusals.length === 0) await deps.events.append(records);
      else await Promise.all([deps.events.append(records), deps.rejected.append(refusals)]);
      if (isLogAway) logger.info("the log is back");
      isLogAway = false;
      return undefined;
    } catch (error) {
      // One line for an outage, not one a request.
      if (!isLogAway) logger.error("the log is away: clients are told to keep and retry", { error: String(error) });
      isLogAway = true;
      if (!(error instanceof LogUnavailableError)) logger.error("an append failed", { error: String(error) });
      return refuse("log_unavailable", "The log did not confirm, so it is not known whether this is stored: keep it and send it again.", 2);
    }
  }

  return async (arrival) => {
    const { text, route, client, receivedAt } = arrival;
    const { header } = arrival.head;
    let key = arrival.keyText === undefined ? undefined : deps.sites.findKey(arrival.keyText);
    if (arrival.keyText !== undefined && key === undefined) return unknownKey();

    const parsed = parseRequest(text, route);
    if (!parsed.ok) return refuse(parsed.code, parsed.message);
    if (key === undefined) {
      if (parsed.writeKey === undefined)
        return refuse("missing_key", "Send a key: as the user of Basic authorization, as writeKey in the body or the address, or as X-Write-Key.");
      key = deps.sites.findKey(parsed.writeKey);
      if (key === undefined) return unknownKey();
    }
    const origin = header("origin");
    const refusal = judgeKey(key, route, origin, arrival.allowServerKey);
    if (refusal !== undefined) return refusal;

    const { site } = key;
    const { items } = parsed;
    const rate = findRate(site).take(items.length);
    if (!rate.ok)
      return refuse("too_many_requests", `This site sends more than ${site.maxEventsPerSecond} events a second.`, Math.max(1, Math.ceil(rate.retryAfterMs / 1000)));

    const cookieHeader = header("cookie");
    const context: RequestContext = {
      key,
      receivedAt,
      ...(parsed.sentAt !== undefined && { sentAt: parsed.sentAt }),
      ip: client.ip,
      country: client.country,
      userAgent: header("user-agent") ?? "",
      gpc: header("sec-gpc") === "1",
      cookieAnonymousId: () => (key.kind === "write" && readDeviceCookie(cookieHeader, receivedAt)?.anonymousId) || "",
    };
    const records: LogRecord[] = [];
    const refusals: LogRecord[] = [];
    const rejected: RejectedEvent[] = [];
    const refusedFor: string[] = [];
    const droppedFor: string[] = [];
    const mayKeepBody = createBodyJudge(text, route, context);
    let deviceId = "";

    const reject = (item: RefusedItem): void => {
      rejected.push({ index: item.index, messageId: item.messageId, reason: item.reason, detail: item.detail });
      refusals.push(toRejectedRecord(item, context, mayKeepBody(item.index), deps.newId));
      refusedFor.push(item.reason);
    };
    let entered = 0;
    for (const item of items) {
      if (!item.ok) {
        reject(item);
        continue;
      }
      entered++;
      const { event, index } = item;
      let result;
      try {
        result = deps.pipeline.run(event, context);
      } catch (error) {
        // An event that breaks a rule of ours must not come back for ever as a 500.
        logger.error("an event could not be processed", { site: site.id, type: event.type, error: error instanceof Error ? error.name : "unknown" });
        reject(refusedItem(index, event, "invalid_field", "The event could not be processed; the fault is on our side."));
        continue;
      }
      if (result.ok) {
        records.push(toLogRecord(result));
        if (result.row.anonymous_id !== "" && hasPurpose(result.row.consent_mask, "profile")) deviceId = result.row.anonymous_id;
      } else if (result.stop === "dropped") {
        droppedFor.push(result.reason);
        rejected.push({ index, messageId: event.messageId || null, reason: result.reason, detail: result.detail });
      } else {
        reject(refusedItem(index, event, result.reason, result.detail));
      }
    }

    const failure = records.length + refusals.length > 0 ? await store(records, refusals) : undefined;
    if (failure !== undefined) return failure;
    const counts = metrics.ofSite(site.id);
    metrics.entered(entered);
    counts.received += items.length;
    counts.accepted += records.length;
    for (const reason of refusedFor) add(counts.rejected, reason, 1);
    for (const reason of droppedFor) add(counts.dropped, reason, 1);
    if (parsed.receipt !== undefined) metrics.receipt(site.id, parsed.receipt);
    const cookies =
      deviceId === "" || key.kind !== "write"
        ? none
        : deviceCookies({ site, cookieHeader, anonymousId: deviceId, origin, host: header("host") ?? "", isHttps: client.isHttps, nowMs: receivedAt });
    return { ok: true, answer: { accepted: records.length, rejected }, cookies };
  };
}

const none: readonly string[] = [];

const unknownKey = (): Outcome =>
  refuse("unknown_key", "Nobody has this key, or it no longer counts: see the site's keys in polder.config.json.");

function judgeKey(key: SiteKey, route: RequestRoute, origin: string | undefined, allowServerKey: boolean): Outcome | undefined {
  if (key.kind === "server") {
    if (origin !== undefined) return refuse("origin_refused", "A server key must not be used in a page, where everyone can read it: use a write key, and replace this one.");
    if (!allowServerKey) return refuse("origin_refused", "A server key must not be part of an address: use a write key.");
    return undefined;
  }
  if (route === "import") return refuse("server_key_required", "/v1/import needs a server key.");
  const { origins } = key.site;
  if (origin === undefined || origins.includes(origin) || origins.includes("*")) return undefined;
  return refuse("origin_refused", "This origin may not use the key: add it to the site's origins in polder.config.json.");
}

function createRates({ clock, rateShare }: IngestDeps): (site: Site) => TokenBucket {
  const rates = new Map<string, { site: Site; bucket: TokenBucket }>();
  return (site) => {
    const known = rates.get(site.id);
    if (known?.site.maxEventsPerSecond === site.maxEventsPerSecond) return known.bucket;
    const perSecond = site.maxEventsPerSecond * rateShare;
    // The largest request must be able to pass, or it could never be sent.
    const bucket = createTokenBucket({ perSecond, burst: Math.max(perSecond * 2, limits.maxEventsPerRequest), clock });
    rates.set(site.id, { site, bucket });
    return bucket;
  };
}

