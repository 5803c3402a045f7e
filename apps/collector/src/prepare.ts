import {
  createRecordEncoder,
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
import { isOriginOf } from "./is-origin-of.ts";
import type { CollectorMetrics } from "./metrics.ts";
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
  /** Why events are stored as rejected, and why nothing is kept of others. */
  rejectedFor: string[];
  droppedFor: string[];
  receipt: Receipt | undefined;
}

export interface PrepareDeps {
  sites: SiteDirectory;
  pipeline: Pipeline;
  /** That of the pipeline. */
  ledger: Pick<ConsentLedger, "latest">;
  metrics: CollectorMetrics;
  logger: Logger;
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

    const rate = findRate(key.site).take(parsed.items.length);
    if (rate.ok) return processItems(arrival, parsed, key);
    const seconds = Math.max(1, Math.ceil(rate.retryAfterMs / 1000));
    return refuse(
      "too_many_requests",
      `This site sends more than ${key.site.maxEventsPerSecond} events a second.`,
      seconds,
    );
  };
}

function createItemProcessor({ pipeline, ledger, metrics, logger, newId }: PrepareDeps) {
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
      droppedFor: [],
      receipt,
    };
    const { records, answer } = prepared;
    let mayKeepBody: ((index: number) => boolean) | undefined;
    let deviceId = "";
    let mayRemember = true;

    const reject = (item: RefusedItem): void => {
      const { index, messageId, reason, detail } = item;
      mayKeepBody ??= createBodyJudge(arrival.text, arrival.route, context, ledger);
      answer.rejected.push({ index, messageId, reason, detail });
      prepared.refusals.push(toRejectedRecord(item, context, mayKeepBody(index), newId));
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
        const name = error instanceof Error ? error.name : "unknown";
        logger.error("an event could not be processed", { site: key.site.id, type: event.type, error: name });
        reject(
          refusedItem(index, event, "invalid_field", "The event could not be processed; the fault is on our side."),
        );
        continue;
      }
      if (result.ok) {
        const { row } = result;
        records.push(toRecord(row));
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
        prepared.droppedFor.push(result.reason);
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
