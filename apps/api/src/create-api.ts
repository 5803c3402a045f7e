import { randomUUID } from "node:crypto";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { sValidator } from "@hono/standard-validator";
import { ClickHouseQueryError, type DuplicateQueries, type ReadQueries } from "@polder/clickhouse";
import { createProxyCheck, errorKind, requestIdOf, type Logger } from "@polder/core";
import { Hono, type Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { describeRoute, openAPIRouteHandler, resolver, validator } from "hono-openapi";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import * as v from "valibot";
import { openSession, requireAccess } from "./access.ts";
import { createAudienceFeed } from "./audiences/create-audience-feed.ts";
import { addAudienceRoutes, type AudienceRoutesOptions } from "./audiences/audience-routes.ts";
import { addPreviewRoutes, type PreviewRoutesOptions } from "./audiences/preview-routes.ts";
import { answerError } from "./errors.ts";
import { addImportRoutes, type ImportRoutesOptions } from "./imports/import-routes.ts";
import { createLiveFeed } from "./live/create-live-feed.ts";
import { liveStream } from "./live/live-stream.ts";
import { isLoopback } from "./local-host.ts";
import { addFlagRoutes, type FlagRoutesOptions } from "./flags/flag-routes.ts";
import { createPage } from "./page-files.ts";
import { addDuplicateRoutes } from "./profiles/duplicate-routes.ts";
import { addIdentityRoutes, type IdentityRoutesOptions } from "./people/identity-routes.ts";
import { addProfileRoutes } from "./profiles/profile-routes.ts";
import { addTraitRoutes, type TraitRoutesOptions } from "./profiles/trait-routes.ts";
import { answers, failures, private_, refuseForm } from "./route-answers.ts";
import { addRightsRoutes, type RightsOptions } from "./rights/rights-routes.ts";
import * as schemas from "./schemas.ts";
import { dayIn } from "./site-day.ts";
import { addVisitorRoutes, peerOf, type VisitorOptions } from "./visitor/visitor-routes.ts";

export interface ApiOptions {
  queries: ReadQueries;
  /** Of the configuration, read anew for each request. */
  sites: () => readonly ApiSite[];
  logger: Logger;
  registry: Registry;
  now?: () => Date;
  /** Age of the oldest event that waits for the loader, in milliseconds; undefined when that is not known here. */
  lag?: () => Promise<number | undefined>;
  /** Why the process should be restarted; undefined when it may live on. Where this is the only part of it: always. */
  live?: () => string | undefined;
  /** Whether the store answers. */
  isStoreReachable: () => Promise<boolean>;
  /** Needed to listen on anything but the loopback: this API shows personal data. */
  adminToken?: string;
  /** Shown on the live page. */
  shopUrl?: string;
  /** For the visitor's own page, `/v1/consent`; not there without it. */
  visitor?: Omit<VisitorOptions, "now">;
  /** Why somebody is one person, merging and unmerging; not there without it. */
  identity?: IdentityRoutesOptions;
  /** Restrictions and objections; not there without it. */
  flags?: FlagRoutesOptions;
  /** Erasures, and files with everything about a person; not there without it. */
  rights?: RightsOptions;
  /** Definitions of audiences and who is in them; not there without it. */
  audiences?: AudienceRoutesOptions;
  /** What audiences would be; not there without it. */
  previews?: PreviewRoutesOptions;
  /** Files of people and offline events; not there without it. */
  imports?: ImportRoutesOptions;
  /** Definitions of computed traits, `/v1/traits`; not there without it. */
  computedTraits?: TraitRoutesOptions;
  /** People who look like one, `/v1/duplicates`; decided at the desk of `identity`, and not there without both. */
  duplicates?: DuplicateQueries;
  sqlUrl?: string;
  pollMs?: number;
}

export interface ApiSite {
  id: string;
  name: string;
  /** IANA zone of the site's days. */
  timezone: string;
}

export interface Api {
  /** For tests and for mounting elsewhere: `app.request(…)`. */
  app: Hono;
  /** Resolves with the address that it listens on. Port 0: any free one. Rejects when the host is not the loopback and there is no token. */
  listen(address: { host: string; port: number }): Promise<{ host: string; port: number }>;
  close(): Promise<void>;
}

const valuesPerDimension = 12;
const summarySpanMs = 180_000;
const audiencesAgeMs = 1_000;

export function createApi(options: ApiOptions): Api {
  const { queries, logger, sites } = options;
  const now = () => (options.now?.() ?? new Date()).getTime();
  const metrics = createMetrics(options.registry);
  const feed = createLiveFeed({
    queries,
    logger,
    now,
    feedId: now().toString(36),
    ...(options.pollMs === undefined ? {} : { pollMs: options.pollMs }),
  });
  const audienceFeed = options.audiences && createAudienceFeed({ queries: options.audiences.queries, logger });
  const page = createPage(() => ({
    sites: sites().map(({ id, name, timezone }) => ({ id, name, timezone })),
    shopUrl: options.shopUrl ?? null,
    sqlUrl: options.sqlUrl ?? null,
  }));
  const lagMs = async (): Promise<number | null> => (await options.lag?.().catch(() => undefined)) ?? null;
  const audiences = createAudienceReader(queries, now);
  const isProxy = createProxyCheck(options.visitor?.edge ?? (() => ({ trustedProxies: [] })));

  const app = new Hono();
  app.use(async (context, next) => {
    const startedAt = performance.now();
    await next();
    const route = context.req.routePath;
    metrics.requests.inc({ route, status: String(context.res.status) });
    if (route !== "/v1/live") metrics.seconds.observe({ route }, (performance.now() - startedAt) / 1000);
  });
  app.onError((error, context) => {
    // A body that is no JSON, which the validators throw.
    if (error instanceof HTTPException && error.status === 400)
      return answerError(context, "invalid_request", "The body is not JSON");
    const header = isProxy(peerOf(context) ?? "") ? (name: string) => context.req.header(name) : undefined;
    const requestId = requestIdOf(header, randomUUID);
    logger.error("a request failed", { requestId, route: context.req.routePath, error: errorKind(error) });
    context.header("x-request-id", requestId);
    return answerError(context, isUnavailable(error) ? "store_unavailable" : "internal");
  });
  app.notFound((context) => answerError(context, "not_found"));

  app.get("/livez", (context) => {
    const problem = options.live?.();
    return context.text(`${problem ?? "ok"}\n`, problem === undefined ? 200 : 503);
  });
  app.get("/readyz", async (context) =>
    (await options.isStoreReachable()) ? context.text("ok\n") : context.text("ClickHouse does not answer\n", 503),
  );
  app.get("/metrics", async (context) => {
    metrics.listeners.set(feed.status().listeners);
    return context.text(await options.registry.metrics(), 200, { "content-type": options.registry.contentType });
  });

  app.get("/", (context) => page.html(context));
  app.get("/page/:file", (context) => page.file(context));
  app.post("/session", sValidator("json", v.object({ token: v.string() }), refuseForm), (context) =>
    openSession(context, context.req.valid("json").token, options.adminToken)
      ? context.body(null, 204)
      : answerError(context, "token_required"),
  );

  const guarded = requireAccess(() => options.adminToken);
  const findSite = (context: Context, id: string | undefined): ApiSite | Response =>
    sites().find((site) => id === undefined || site.id === id) ?? answerError(context, "unknown_site");

  app.get(
    "/v1/live",
    guarded,
    describeRoute({
      description:
        "Server-sent events: `events` as they become queryable (goes on from Last-Event-ID), `people` when identities were joined, `audiences` when people came into some or left, `pulse` every second, `gap` when some were missed.",
      responses: {
        200: {
          description:
            "A stream. Data of `events` as here; of `series`: seconds, the last three minutes so far; of `people`: changes, each an atom and its person from now on; of `audiences`: changes, each an audience and a person who came or left; of `pulse`: now, newestReceivedAt, lagMs, isStoreReachable",
          content: { "text/event-stream": { schema: resolver(schemas.liveBatch) } },
        },
        ...failures(400, 401, 404),
      },
    }),
    validator("query", schemas.siteQuery, refuseForm),
    (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const lastEventId = context.req.header("last-event-id");
      const body = liveStream({
        feed,
        ...(audienceFeed && { audiences: audienceFeed }),
        site: site.id,
        lastEventId,
        now,
        lagMs,
        pulseMs: 1_000,
        maxUnreadBytes: 4 * 1024 ** 2,
      });
      return context.body(body, 200, {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
      });
    },
  );

  addProfileRoutes(app, { queries, guarded, findSite, now });
  if (options.computedTraits !== undefined)
    addTraitRoutes(app, {
      ...options.computedTraits,
      audiences: options.audiences?.store,
      guarded,
      findSite,
      now,
    });
  if (options.duplicates !== undefined && options.identity !== undefined)
    addDuplicateRoutes(app, { ...options.identity, queries: options.duplicates, guarded, findSite });

  app.get(
    "/v1/audiences/today",
    guarded,
    describeRoute({
      description:
        "Unique people of today by channel, page group, event, device, country and campaign; merged identities count once.",
      responses: { 200: answers("Counts by dimension", schemas.audiencesToday), ...failures(400, 401, 404, 503) },
    }),
    validator("query", schemas.siteQuery, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      return context.json(await audiences(site), 200, private_);
    },
  );

  app.get(
    "/v1/summary",
    guarded,
    describeRoute({
      description: "Today in numbers, and events by second of arrival over the last three minutes.",
      responses: { 200: answers("The numbers", schemas.summary), ...failures(400, 401, 404, 503) },
    }),
    validator("query", schemas.siteQuery, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const moment = now();
      const day = dayIn(site.timezone, moment);
      const found = await queries.summary(site.id, day, { now: moment, since: moment - summarySpanMs });
      const answer: schemas.SummaryAnswer = {
        site: site.id,
        day,
        timezone: site.timezone,
        now: moment,
        ...found,
        newestReceivedAt: found.newestReceivedAt ?? null,
        seconds: found.seconds.map(({ second, count }) => [second, count]),
      };
      return context.json(answer, 200, private_);
    },
  );

  if (options.identity !== undefined) addIdentityRoutes(app, { ...options.identity, queries, guarded, findSite });
  if (options.flags !== undefined) addFlagRoutes(app, { ...options.flags, queries, guarded, findSite, now });
  if (options.rights !== undefined) addRightsRoutes(app, { ...options.rights, findSite, guarded, now });

  if (options.previews !== undefined) addPreviewRoutes(app, { ...options.previews, guarded, findSite, now });
  if (options.audiences !== undefined) addAudienceRoutes(app, { ...options.audiences, guarded, findSite, now });
  if (options.imports !== undefined) addImportRoutes(app, { ...options.imports, guarded, findSite, now });
  if (options.visitor !== undefined) addVisitorRoutes(app, { ...options.visitor, now });

  app.get(
    "/openapi.json",
    openAPIRouteHandler(app, {
      documentation: {
        info: {
          title: "Polder: read side",
          version: "1",
          description: "Profiles, audiences and what happens now. Times are milliseconds since 1970.",
        },
      },
      exclude: ["/", "/page/:file", "/openapi.json", "/livez", "/readyz", "/metrics", "/session"],
    }),
  );

  const server = createAdaptorServer({ fetch: app.fetch });
  return {
    app,
    async listen({ host, port }) {
      if (!isLoopback(host) && options.adminToken === undefined) {
        throw new Error(
          `Profiles would be open to everybody on ${host}: set POLDER_ADMIN_TOKEN, or listen on 127.0.0.1`,
        );
      }
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ host, port }, () => {
          server.off("error", reject);
          resolve();
        });
      });
      feed.start();
      audienceFeed?.start();
      return { host, port: (server.address() as AddressInfo).port };
    },
    async close() {
      await feed.stop();
      await audienceFeed?.stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      if ("closeAllConnections" in server) server.closeAllConnections(); // event streams never end by themselves
      if (server.listening) await closed;
    },
  };
}

/** A connection that failed or took too long, and not a statement that ClickHouse refused. */
const isUnavailable = (error: Error): boolean =>
  !(error instanceof ClickHouseQueryError) &&
  (("code" in error && typeof error.code === "string") || /timeout/i.test(error.message));

function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    requests: new Counter({
      name: "polder_api_requests_total",
      help: "Requests by route and status",
      labelNames: ["route", "status"],
      registers,
    }),
    seconds: new Histogram({
      name: "polder_api_request_seconds",
      help: "Time to answer, by route",
      labelNames: ["route"],
      buckets: [0.005, 0.015, 0.05, 0.15, 0.5, 1.5, 5],
      registers,
    }),
    listeners: new Gauge({ name: "polder_api_live_listeners", help: "Open live streams", registers }),
  };
}

/** All pages that are open ask for the same counts: they share an answer that is a second old at most. */
function createAudienceReader(queries: ReadQueries, now: () => number) {
  const known = new Map<string, { at: number; answer: Promise<schemas.AudiencesToday> }>();
  return (site: ApiSite): Promise<schemas.AudiencesToday> => {
    const held = known.get(site.id);
    if (held !== undefined && now() - held.at < audiencesAgeMs) return held.answer;
    const day = dayIn(site.timezone, now());
    const answer = queries.audiences(site.id, day, valuesPerDimension).then((rows) => {
      const dimensions = new Map<string, schemas.AudiencesToday["dimensions"][number]["values"]>();
      for (const { dimension, ...value } of rows) {
        const values = dimensions.get(dimension);
        if (values === undefined) dimensions.set(dimension, [value]);
        else values.push(value);
      }
      return {
        site: site.id,
        day,
        timezone: site.timezone,
        dimensions: [...dimensions].map(([dimension, values]) => ({ dimension, values })),
      };
    });
    known.set(site.id, { at: now(), answer });
    answer.catch(() => known.delete(site.id));
    return answer;
  };
}
