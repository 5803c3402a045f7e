import type { AddressInfo } from "node:net";
import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import {
  createClientAddressReader,
  createProxyCheck,
  createPipeline,
  errorKind,
  loadedTopics,
  requestIdOf,
  type ConsentLedger,
  type EdgeSettings,
  type EventLog,
  type Logger,
  type LogRecord,
  type SiteDirectory,
} from "@polder/core";
import { limits, openApi, postRoutes, type RequestRoute } from "@polder/protocol";
import { Hono, type Context } from "hono";
import type { Registry } from "prom-client";
import { corsHeaders, refuse, toResponse, type Outcome, type Refusal } from "./answer.ts";
import type { BrowserBundle } from "./browser-bundle.ts";
import { createChoiceRecorder } from "./choice-recorder.ts";
import { createCoalescer, type Coalescer } from "./coalescer.ts";
import { guardConnections } from "./connections.ts";
import { keyFromRequest } from "./credentials.ts";
import { createInFlight, type Held } from "./in-flight.ts";
import { createIngest } from "./ingest.ts";
import { createLossLedger } from "./loss-ledger.ts";
import { createMessageId } from "./message-id.ts";
import { createMetrics } from "./metrics.ts";
import { createPrepare, type Arrival, type Prepared } from "./prepare.ts";
import { readBody, type BodyResult } from "./read-body.ts";
import { headOf, type RequestHead } from "./request-head.ts";
import { addBundleRoutes } from "./routes/browser-bundle.ts";
import { createLinkAnswers } from "./routes/link.ts";
import { gif, pixelBatch } from "./routes/pixel.ts";
import { createRegimeAnswers } from "./routes/regime.ts";
import { segmentSettings } from "./routes/segment-settings.ts";

export interface CollectorDeps {
  /** Stays the caller's: {@link Collector.close} leaves it open. */
  log: EventLog;
  /** What visitors chose. Stays the caller's, too. */
  ledger: ConsentLedger;
  /** What is still missing before events may be taken; undefined when nothing is. Asked on every request. */
  notReady?: () => string | undefined;
  sites: SiteDirectory;
  /** ISO 3166 alpha-2 of an address, empty when unknown. */
  countryOf: (ip: string) => string;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  /** A random id of at least 120 bits. */
  newId: () => string;
  logger: Logger;
  registry: Registry;
  browserBundle: BrowserBundle;
  /** Asked on every request, so that a changed configuration counts at once. */
  edge?: () => EdgeSettings;
  /** Of the tokens that take a visitor's id from one of a site's hosts to another. Absent: there are none. */
  linkSecret?: string | undefined;
  /** Prometheus text; that of `registry` when not given. */
  renderMetrics?: () => Promise<string>;
  options?: Partial<CollectorOptions>;
}

export interface CollectorOptions {
  /** Past these, clients hear 503. Requests are those that wait to be durable; bytes are of all, after inflating: see `InFlight`. */
  maxInFlightRequests: number;
  maxInFlightBytes: number;
  /** See `CoalescerOptions`. */
  lingerMs: number;
  maxAppendRecords: number;
  maxAppendBytes: number;
  answerWithinMs: number;
  /** The part of each site's rate that is this process's: one over the number of workers. */
  rateShare: number;
  /** For a slow client to send its headers, all of its request, and its next one; it is cut off within five seconds more. */
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  keepAliveTimeoutMs: number;
  /** For a slow client to take its answer; it is cut off within a quarter of that more. */
  answerTimeoutMs: number;
  maxConnections: number;
  /** Proxies of ours are not held to it. */
  maxConnectionsPerAddress: number;
  /** {@link Collector.close} waits no longer than this: what is still busy then is cut. */
  drainTimeoutMs: number;
  /** An append, a record of choices, or an attempt to forward the spool, that goes on for longer will not end by itself: `/livez` says so. */
  stalledAfterMs: number;
}

const defaults: CollectorOptions = {
  maxInFlightRequests: 10_000,
  maxInFlightBytes: 64 * 1024 * 1024,
  lingerMs: 3,
  maxAppendRecords: 500,
  maxAppendBytes: 900 * 1024,
  answerWithinMs: 1000,
  rateShare: 1,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  // Longer than the idle time of common load balancers, or they reuse a connection that we are closing.
  keepAliveTimeoutMs: 75_000,
  answerTimeoutMs: 10_000,
  maxConnections: 20_000,
  maxConnectionsPerAddress: 5_000,
  drainTimeoutMs: 10_000,
  stalledAfterMs: 120_000,
};

export interface Collector {
  app: Hono;
  /** Port 0 lets the system choose. Rejects with the system's error when the port is taken. */
  listen(address: { host: string; port: number }): Promise<{ url: string }>;
  /** Why this process should be started again: it has been writing something for two minutes. Undefined while it is alive. */
  problem(): Promise<string | undefined>;
  /** Takes nothing new, answers what is on its way, then resolves: all that was answered 200 is in the log. */
  close(): Promise<void>;
}

/** Of a question about a link: too few to be counted among what is in flight. */
const maxLinkBytes = 4096;

const noEdge: EdgeSettings = { trustedProxies: [] };

/** HTTP to {@link EventLog}: parses, judges, and answers 200 only after the log has confirmed. */
export function createCollector(deps: CollectorDeps): Collector {
  const { log, ledger, sites, now, clock, logger, notReady = () => undefined } = deps;
  const options = { ...defaults, ...deps.options };
  const inFlight = createInFlight({ maxRequests: options.maxInFlightRequests, maxBytes: options.maxInFlightBytes });
  let connections: ReturnType<typeof guardConnections> | undefined;
  const metrics = createMetrics({
    registry: deps.registry,
    inFlight,
    connections: () => connections?.count() ?? 0,
    spool: log.spool,
    now,
    clock,
  });
  const [events, rejected] = loadedTopics.map((topic) =>
    createCoalescer({
      append: (records) => log.append(topic, records),
      clock,
      lingerMs: options.lingerMs,
      maxRecords: options.maxAppendRecords,
      maxBytes: options.maxAppendBytes,
      answerWithinMs: options.answerWithinMs,
      onAppend: (outcome) => metrics.appended(topic, outcome),
    }),
  ) as [Coalescer, Coalescer];
  const lossLedger = createLossLedger({
    append: (records) => log.append("polder.ledger", records),
    process: createMessageId().slice(0, 12),
    answerWithinMs: options.answerWithinMs,
    logger,
  });
  const edge = deps.edge ?? (() => noEdge);
  const readClient = createClientAddressReader(edge);
  const isProxy = createProxyCheck(edge);
  const prepare = createPrepare({
    sites,
    pipeline: createPipeline({ ledger, countryOf: deps.countryOf, newId: deps.newId, observer: metrics.observer }),
    ledger,
    metrics,
    lossLedger,
    logger,
    isProxy,
    newId: deps.newId,
    clock,
    rateShare: options.rateShare,
  });
  const choiceRecorder = createChoiceRecorder({
    ledger,
    clock,
    answerWithinMs: options.answerWithinMs,
    maxUnderWay: options.maxInFlightRequests,
  });
  const ingest = createIngest({ events, rejected, choiceRecorder, metrics, lossLedger, logger });
  let isDraining = false;

  const prepareBody = (
    body: BodyResult,
    arrival: Omit<Arrival, "text" | "keyText" | "allowServerKey">,
  ): Prepared | Refusal => {
    if (body.ok)
      return prepare({ ...arrival, text: body.text, keyText: keyFromRequest(arrival.head), allowServerKey: true });
    if (body.code !== "overloaded") return refuse(body.code, body.message);
    return { ...overloaded(), isCutOff: true };
  };

  /** From here on the site is who holds it, and what it holds is the rows. */
  const store = (prepared: Prepared | Refusal, held: Held): Promise<Outcome> | Refusal => {
    if (!prepared.ok) return prepared;
    const bytes = bytesOf(prepared.records) + bytesOf(prepared.refusals);
    return held.moveTo(`site ${prepared.site}`, bytes) ? ingest(prepared) : overloaded();
  };

  async function receive(c: Context, route: RequestRoute, head: RequestHead): Promise<Outcome> {
    if (isDraining) return draining();
    const missing = notReady();
    if (missing !== undefined) return starting(missing);
    const contentType = head.header("content-type");
    if (contentType !== undefined && !isAcceptedType(contentType))
      return refuse("unsupported_media_type", "Send Content-Type: application/json or text/plain.");
    const client = readClient(head);
    const held = inFlight.open(`address ${client.ip}`);
    const startedAt = clock();
    try {
      const body = await readBody(c.req.raw, head, limits.maxRequestBytes, held.add);
      return await store(prepareBody(body, { route, head, client, receivedAt: now() }), held);
    } finally {
      held.leave();
      metrics.answered(clock() - startedAt);
    }
  }

  const app = new Hono();
  for (const [path, route] of Object.entries(postRoutes)) {
    app.post(`/v1/${path}`, async (c) => {
      const head = headOf(c);
      const outcome = await receive(c, route, head);
      if (!outcome.ok) metrics.refused(outcome.code);
      return toResponse(outcome, head.header("origin"));
    });
  }

  /** A picture has no body to wait for and no client that would try again; it is held to the same bounds. */
  async function receivePixel(head: RequestHead, query: URLSearchParams): Promise<Outcome> {
    if (isDraining) return draining();
    const missing = notReady();
    if (missing !== undefined) return starting(missing);
    const text = pixelBatch(query, head.header("referer"));
    const client = readClient(head);
    const held = inFlight.open(`address ${client.ip}`);
    const startedAt = clock();
    try {
      if (!held.add(text.length)) return overloaded();
      const keyText = query.get("writeKey") ?? undefined;
      const prepared = prepare({
        text,
        route: "batch",
        keyText,
        receivedAt: now(),
        head,
        client,
        allowServerKey: false,
      });
      return await store(prepared, held);
    } finally {
      held.leave();
      metrics.answered(clock() - startedAt);
    }
  }

  app.get("/v1/pixel.gif", async (c) => {
    const outcome = await receivePixel(headOf(c), new URL(c.req.url).searchParams);
    if (!outcome.ok) metrics.refused(outcome.code);
    // Whoever shows a picture cannot act on an error, and would show it.
    const result = outcome.ok ? (outcome.answer.rejected[0]?.reason ?? "accepted") : outcome.code;
    const answer = new Headers({ "content-type": "image/gif", "cache-control": "no-store", "x-polder-result": result });
    if (outcome.ok) for (const cookie of outcome.cookies) answer.append("set-cookie", cookie);
    return new Response(new Uint8Array(gif), { headers: answer });
  });

  const answerLink = createLinkAnswers({ sites, secret: deps.linkSecret, now });
  app.post("/v1/link", async (c) => {
    const head = headOf(c);
    const origin = head.header("origin");
    const body = await readBody(c.req.raw, head, maxLinkBytes);
    const answer = body.ok ? answerLink(body.text, head) : refuse(body.code, body.message);
    if (typeof answer !== "string") return toResponse(answer, origin);
    const headers = { ...corsHeaders(origin), "cache-control": "no-store" };
    return new Response(answer || null, { status: answer ? 200 : 204, headers });
  });

  const answerRegime = createRegimeAnswers({ sites, countryOf: deps.countryOf });
  app.get("/v1/regime", (c) => {
    const head = headOf(c);
    const origin = head.header("origin");
    const answer = answerRegime(head, readClient(head));
    if (!answer.ok) return toResponse(answer, origin);
    const headers = { ...corsHeaders(origin), "cache-control": "private, max-age=3600", vary: "Origin" };
    return Response.json({ regime: answer.regime }, { headers });
  });

  app.get("/v1/projects/:writeKey/settings", (c) => {
    const key = c.req.param("writeKey");
    const head = headOf(c);
    const origin = head.header("origin");
    if (sites.findKey(key)?.kind !== "write")
      return toResponse(refuse("not_found", "Nobody has this write key."), origin);
    const host = head.header("host") ?? new URL(head.url).host;
    return Response.json(segmentSettings(key, host, readClient(head).isHttps), {
      headers: { ...corsHeaders(origin), "cache-control": "private, max-age=60", vary: "Origin" },
    });
  });

  addBundleRoutes(app, deps.browserBundle);
  const document = JSON.stringify(openApi());
  app.get(
    "/openapi.json",
    () =>
      new Response(document, { headers: { "content-type": "application/json", "access-control-allow-origin": "*" } }),
  );
  async function findProblem(): Promise<string | undefined> {
    const underWay = [
      ["an append", Math.max(events.appendMs(), rejected.appendMs())],
      ["a record of choices", choiceRecorder.recordMs()],
      ["an attempt to forward the spool", (await log.spool?.())?.attemptMs ?? 0],
    ] as const;
    const stalled = underWay.find(([, ms]) => ms >= options.stalledAfterMs);
    return stalled && `${stalled[0]} has been under way for ${Math.round(stalled[1] / 1000)} s`;
  }
  app.get("/livez", async () => {
    const problem = await findProblem();
    const text = problem === undefined ? "ok" : `${problem}: start this process again`;
    return new Response(`${text}\n`, { status: problem === undefined ? 200 : 503 });
  });
  app.get("/readyz", async () => {
    const problem = isDraining
      ? "stopping"
      : (notReady() ?? ((await log.isReachable()) ? undefined : "the log cannot be reached"));
    return new Response(`${problem ?? "ok"}\n`, { status: problem === undefined ? 200 : 503 });
  });
  app.get("/metrics", async () => {
    const text = await (deps.renderMetrics ?? (() => deps.registry.metrics()))();
    return new Response(text, { headers: { "content-type": deps.registry.contentType } });
  });
  app.options("*", (c) => preflight(c));
  app.notFound((c) => toResponse(refuse("not_found", "There is nothing at this address."), c.req.header("origin")));
  app.onError((error, c) => {
    const head = headOf(c);
    const requestId = requestIdOf(isProxy(head.remoteAddress) ? head.header : undefined, deps.newId);
    logger.error("a request failed", { requestId, path: c.req.routePath, error: errorKind(error) });
    // What happened is not known, so the client has to keep it.
    const response = toResponse(
      refuse("log_unavailable", "The request failed on our side: keep it and send it again.", 5),
      c.req.header("origin"),
    );
    response.headers.set("x-request-id", requestId);
    return response;
  });

  let server: Server | undefined;
  return {
    app,
    async listen({ host, port }) {
      const created = createAdaptorServer({
        fetch: (request, env) => app.fetch(request, env),
        serverOptions: {
          headersTimeout: options.headersTimeoutMs,
          requestTimeout: options.requestTimeoutMs,
          connectionsCheckingInterval: Math.min(5_000, options.headersTimeoutMs, options.requestTimeoutMs),
          keepAliveTimeout: options.keepAliveTimeoutMs,
          maxHeaderSize: 16 * 1024,
          noDelay: true,
        },
      }) as Server;
      connections = guardConnections(created, {
        maxConnections: options.maxConnections,
        maxConnectionsPerAddress: options.maxConnectionsPerAddress,
        answerTimeoutMs: options.answerTimeoutMs,
        isProxy,
        clock,
        onCut: metrics.cut,
      });
      await new Promise<void>((resolve, reject) => {
        created.once("error", reject);
        created.listen(port, host, () => {
          created.off("error", reject);
          resolve();
        });
      });
      server = created;
      const { port: actual } = created.address() as AddressInfo;
      return { url: `http://${host.includes(":") ? `[${host}]` : host}:${actual}` };
    },
    problem: findProblem,
    async close() {
      isDraining = true;
      const closed = new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
      // A connection whose answer was being written a moment ago is idle only now.
      const sweep = setInterval(() => server?.closeIdleConnections(), 20);
      const drained = inFlight
        .empty()
        .then(() => Promise.all([events.drained(), rejected.drained()]))
        .then(() => lossLedger.close())
        .then(() => closed);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<"late">((resolve) => (timer = setTimeout(resolve, options.drainTimeoutMs, "late")));
      if ((await Promise.race([drained, late])) === "late") {
        logger.warn("stopping: connections that are still busy are cut", { requests: inFlight.requests() });
        server?.closeAllConnections();
      }
      clearTimeout(timer);
      clearInterval(sweep);
      connections?.stop();
    },
  };
}

/** What a record holds besides its value: its key, its headers and the objects, about. */
const recordBytes = 512;

function bytesOf(records: readonly LogRecord[]): number {
  let bytes = records.length * recordBytes;
  for (const { value } of records) bytes += value.byteLength;
  return bytes;
}

function isAcceptedType(contentType: string): boolean {
  const semicolon = contentType.indexOf(";");
  const type = (semicolon === -1 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
  return type === "text/plain" || type === "application/json";
}

const starting = (missing: string): Refusal =>
  refuse("starting", `This collector is not ready yet (${missing}): keep it and send it again.`, 2);
const draining = (): Refusal => refuse("draining", "This collector is stopping: send it again, to the next one.", 1);
const overloaded = (): Refusal => refuse("overloaded", "Too much is being received: keep it and send it again.", 2);

/** Segment's clients send `application/json` and `Authorization`; ours needs no preflight. The key, and so the origin, is judged later. */
function preflight(c: Context): Response {
  const origin = c.req.header("origin");
  if (origin === undefined) return new Response(null, { status: 204 });
  return new Response(null, {
    status: 204,
    headers: {
      ...corsHeaders(origin),
      "access-control-allow-methods": "GET, POST, OPTIONS",
      "access-control-allow-headers": c.req.header("access-control-request-headers") ?? "content-type, authorization",
      "access-control-max-age": "7200",
      vary: "Origin, Access-Control-Request-Headers",
    },
  });
}
