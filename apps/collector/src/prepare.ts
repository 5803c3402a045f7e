import {
  arrivalText,
  createRecordEncoder,
  requestIdOf,
  type ArrivalBlock,
  type ClientAddress,
  type ConsentLedger,
  type LogRecord,
  type Logger,
  type Pipeline,
  type RequestContext,
  type Site,
  type SiteDirectory,
  type SiteKey,
  type VisitorChoices,
} from "@polder/core";
import {
  choiceCookieName,
  decodeChoice,
  hasPurpose,
  limits,
  parseRequest,
  type BatchAnswer,
  type ParsedRequest,
  type Receipt,
  type RefusedItem,
  type RequestRoute,
} from "@polder/protocol";
import { refuse, type Refusal } from "./answer.ts";
import { cookieValues } from "./cookie-values.ts";
import { deviceCookies, expiredDeviceCookies, readDeviceCookie } from "./device-cookie.ts";
import { createHotVisitors } from "./hot-visitors.ts";
import { isOriginOf } from "./is-origin-of.ts";
import type { CollectorMetrics } from "./metrics.ts";
import type { DroppedEvent, LossLedger } from "./loss-ledger.ts";
import { createBodyJudge, refusedItem, toRejectedRecord } from "./rejected-record.ts";
import type { RequestHead } from "./request-head.ts";
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

/** What is to be stored of a request, and what to say once it is. */
export interface Prepared {
  ok: true;
  site: string;
  records: LogRecord[];
  refusals: LogRecord[];
  /** To be recorded in the ledger. */
  choices: readonly VisitorChoices[];
  answer: BatchAnswer;
  cookies: readonly string[];
  /** Why events are stored as rejected, and of which others nothing is kept. */
  rejectedFor: string[];
  dropped: DroppedEvent[];
  /** The numbers of the events, in the order of the request. */
  arrivals: ArrivalBlock;
  receivedAt: number;
  receipt: Receipt | undefined;
}

export interface PrepareDeps {
  sites: SiteDirectory;
  pipeline: Pipeline;
  /** That of the pipeline. */
  ledger: Pick<ConsentLedger, "latest">;
  metrics: CollectorMetrics;
  lossLedger: Pick<LossLedger, "arrivals">;
  logger: Logger;
  /** Whether an address is that of a proxy of ours. */
  isProxy: (address: string) => boolean;
  newId: () => string;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  /** The part of a site's rate that is this process's. */
  rateShare: number;
}

/**
 * From the text of a request to what the log will keep of it: parse → key → origin → rate → pipeline. Nothing here waits, so that all that was
 * parsed is garbage before the log is asked, instead of being carried along by every collection until it has answered.
 */
export function createPrepare(deps: PrepareDeps): (arrival: Arrival) => Prepared | Refusal {
  const findRate = createRates(deps);
  const processItems = createItemProcessor(deps);
  const hotVisitors = createHotVisitors({ perSecond: hotPerSecond, burst: hotBurst, clock: deps.clock });

  return (arrival) => {
    let key = arrival.keyText === undefined ? undefined : deps.sites.findKey(arrival.keyText);
    if (arrival.keyText !== undefined && key === undefined) return unknownKey();

    const parsed = parseRequest(arrival.text, arrival.route);
    if (!parsed.ok) return refuse(parsed.code, parsed.message);
    if (key === undefined) {
      if (parsed.writeKey === undefined) return missingKey();
      key = deps.sites.findKey(parsed.writeKey);
      if (key === undefined) return unknownKey();
    }
    const refusal = judgeKey(key, arrival);
    if (refusal !== undefined) return refusal;

    const { site } = key;
    const count = parsed.items.length;
    const bucket = findRate(site);
    const isHot = hotVisitors.count(`${site.id}:${senderOf(parsed, arrival)}`, count);
    // Half of what the site may send stays for all the others.
    const rate = bucket.take(count, isHot ? bucket.burst / 2 : 0);
    if (rate.ok) return processItems(arrival, parsed, key);
    const seconds = Math.max(1, Math.ceil(rate.retryAfterMs / 1000));
    const message = isHot
      ? `This visitor sends more than ${hotPerSecond} events a second, and the others need the rest of what the site may send.`
      : `This site sends more than ${site.maxEventsPerSecond} events a second.`;
    return refuse("too_many_requests", message, seconds);
  };
}

function createItemProcessor({ pipeline, ledger, metrics, lossLedger, logger, isProxy, newId }: PrepareDeps) {
  const toRecord = createRecordEncoder();

  return (arrival: Arrival, { items, sentAt, receipt }: ParsedRequest, key: SiteKey): Prepared => {
    const { client, receivedAt } = arrival;
    const { header } = arrival.head;
    const cookieHeader = header("cookie");
    const context: RequestContext = {
      key,
      receivedAt,
      ...(sentAt !== undefined && { sentAt }),
      ip: client.ip,
      country: client.country,
      userAgent: header("user-agent") ?? "",
      gpc: isOn(header("sec-gpc")),
      cookieAnonymousId: () => (key.kind === "write" && readDeviceCookie(cookieHeader, receivedAt)?.anonymousId) || "",
      cookieRefusesMeasurement: () => refusesMeasurement(cookieHeader),
      choices: [],
    };
    const prepared: Prepared = {
      ok: true,
      site: key.site.id,
      records: [],
      refusals: [],
      choices: context.choices,
      answer: { accepted: 0, rejected: [] },
      cookies: none,
      rejectedFor: [],
      dropped: [],
      arrivals: lossLedger.arrivals(receivedAt, items.length),
      receivedAt,
      receipt,
    };
    const { records, answer, arrivals } = prepared;
    let mayKeepBody: ((index: number) => boolean) | undefined;
    let deviceId = "";
    let mayRemember = true;

    const reject = (item: RefusedItem): void => {
      const { index, messageId, reason, detail } = item;
      mayKeepBody ??= createBodyJudge(arrival.text, arrival.route, context, ledger);
      answer.rejected.push({ index, messageId, reason, detail });
      const number = arrivalText(arrivals, index);
      prepared.refusals.push(toRejectedRecord(item, context, mayKeepBody(index), newId, number));
      prepared.rejectedFor.push(reason);
    };

    for (const item of items) {
      if (!item.ok) {
        reject(item);
        continue;
      }
      const { event, index } = item;
      metrics.entered();
      let result;
      try {
        result = pipeline.run(event, context);
      } catch (error) {
        // An event that breaks a rule of ours must not come back for ever as a 500.
        const requestId = requestIdOf(isProxy(arrival.head.remoteAddress) ? header : undefined, newId);
        const place = { requestId, site: key.site.id, type: event.type };
        logger.error("an event could not be processed", {
          ...place,
          error: error instanceof Error ? error.name : "unknown",
        });
        reject(
          refusedItem(index, event, "invalid_field", "The event could not be processed; the fault is on our side."),
        );
        continue;
      }
      if (result.ok) {
        const { row } = result;
        records.push(toRecord(row, arrivalText(arrivals, index)));
        const hasProfile = hasPurpose(row.consent_mask, "profile");
        if (row.anonymous_id !== "" && hasProfile) deviceId = row.anonymous_id;
        if (row.type === "consent") mayRemember = hasProfile;
      } else if (result.stop === "dropped") {
        answer.rejected.push({
          index,
          messageId: event.messageId || null,
          reason: result.reason,
          detail: result.detail,
        });
        prepared.dropped.push({ index, reason: result.reason });
      } else {
        reject(refusedItem(index, event, result.reason, result.detail));
      }
    }
    answer.accepted = records.length;
    if (key.kind === "write" && (deviceId !== "" || !mayRemember)) {
      const question = {
        site: key.site,
        cookieHeader,
        origin: header("origin"),
        host: header("host") ?? "",
        isHttps: client.isHttps,
        nowMs: receivedAt,
      };
      prepared.cookies = mayRemember ? deviceCookies(question, deviceId) : expiredDeviceCookies(question);
    }
    return prepared;
  };
}

// Far beyond what a person does, and a burst that a page's whole backlog fits into.
const hotPerSecond = 100;
const hotBurst = 2_000;

/** Whose request it is: its first event's visitor, else its user, else the address that it came from. */
function senderOf({ items }: ParsedRequest, { client }: Arrival): string {
  const [first] = items;
  return (first?.ok && (first.event.anonymousId || first.event.userId)) || client.ip;
}

const none: readonly string[] = [];

/** A proxy that sets a header again makes a list of it. */
const isOn = (value: string | undefined): boolean => value?.split(",").some((each) => each.trim() === "1") ?? false;

/** There can be one for several domains: a no in any of them is a no. */
const refusesMeasurement = (cookieHeader: string | undefined): boolean =>
  cookieValues(cookieHeader, choiceCookieName).some((value) => {
    const choice = decodeChoice(value);
    return choice !== undefined && !hasPurpose(choice.mask, "measurement");
  });

const unknownKey = (): Refusal =>
  refuse("unknown_key", "Nobody has this key, or it no longer counts: see the site's keys in polder.config.json.");

const missingKey = (): Refusal =>
  refuse(
    "missing_key",
    "Send a key: as the user of Basic authorization, as writeKey in the body or the address, or as X-Write-Key.",
  );

function judgeKey(key: SiteKey, { route, head, allowServerKey }: Arrival): Refusal | undefined {
  const origin = head.header("origin");
  if (key.kind === "server") {
    if (origin !== undefined)
      return refuse(
        "origin_refused",
        "A server key must not be used in a page, where everyone can read it: use a write key, and replace this one.",
      );
    return allowServerKey
      ? undefined
      : refuse("origin_refused", "A server key must not be part of an address: use a write key.");
  }
  if (route === "import") return refuse("server_key_required", "/v1/import needs a server key.");
  if (origin === undefined || isOriginOf(key.site, origin)) return undefined;
  return refuse(
    "origin_refused",
    "This origin may not use the key: add it to the site's origins in polder.config.json.",
  );
}

function createRates({ clock, rateShare }: PrepareDeps): (site: Site) => TokenBucket {
  const rates = new Map<string, { maxEventsPerSecond: number; bucket: TokenBucket }>();
  return ({ id, maxEventsPerSecond }) => {
    const known = rates.get(id);
    if (known?.maxEventsPerSecond === maxEventsPerSecond) return known.bucket;
    const perSecond = maxEventsPerSecond * rateShare;
    // The largest request must be able to pass, or it could never be sent.
    const bucket = createTokenBucket({ perSecond, burst: Math.max(perSecond * 2, limits.maxEventsPerRequest), clock });
    rates.set(id, { maxEventsPerSecond, bucket });
    return bucket;
  };
}
