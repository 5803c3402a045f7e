import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { ConsentQueries } from "@polder/clickhouse";
import {
  createClientAddressReader,
  type ClientAddress,
  type ConsentLogRow,
  type EdgeSettings,
  type Site,
  type SiteDirectory,
} from "@polder/core";
import {
  choiceCookieName,
  encodeChoice,
  hasPurpose,
  maskOf,
  purposes,
  type Purpose,
  type PurposeMask,
  type StoredChoice,
} from "@polder/protocol";
import type { Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { describeRoute, resolver } from "hono-openapi";
import * as v from "valibot";
import { answerError } from "../errors.ts";
import * as schemas from "../schemas.ts";
import { deviceOf, grantedOnDevice, regimeOnDevice } from "./device-of.ts";
import { postJson } from "./post-json.ts";
import { createRateLimit } from "./rate-limit.ts";
import { stateOf, timeOf, type States } from "./state-of.ts";

export interface VisitorOptions {
  directory: SiteDirectory;
  queries: Pick<ConsentQueries, "atomsOfDevice" | "linksOfAtoms" | "filedTexts" | "receiptOf">;
  /** Where choices are sent, as `http://127.0.0.1:8081`: the record begins there, as with any other client. */
  collectorUrl: () => string;
  /** Whose word counts for the address and the country of a visitor. The collector believes us, so we pass on no stranger's. */
  edge: () => EdgeSettings;
  now: () => number;
}

const maxBodyBytes = 8 * 1024;
const recordWithinMs = 5_000;
/** A page asks a few times a minute, and every second while it waits for a receipt; each time ClickHouse reads. */
const rate = { windowMs: 10_000, perAddress: 60, overall: 1_000 };
const receiptHeader = "polder-receipt";
const forwardedHeaders = ["origin", "cookie", "user-agent", "sec-gpc", "x-forwarded-for", "x-forwarded-proto"];
/** As long as the browser script keeps it. */
const choiceLifetimeSeconds = 395 * 24 * 3600;

/**
 * The visitor's own page: what was chosen, when, under which text, and what a withdrawal removed. Who asks is read from the cookie that no script can
 * read, and from nothing else: an id in an address ends up in logs, and anybody can write one. A page of another site gets no answer it can read.
 */
export function addVisitorRoutes(app: Hono, { directory, queries, collectorUrl, edge, now }: VisitorOptions): void {
  const addressOf = createClientAddressReader(edge);
  const limit = createRateLimit({ ...rate, now });
  const clientOf = (context: Context): ClientAddress =>
    addressOf({
      header: (name) => context.req.header(name),
      url: context.req.url,
      remoteAddress: peerOf(context) ?? "",
    });
  const refuseTooMany = (context: Context): Response | undefined => {
    const waitMs = limit.take(clientOf(context).ip);
    if (waitMs === undefined) return undefined;
    context.header("retry-after", String(Math.ceil(waitMs / 1000)));
    return answerError(context, "too_many_requests");
  };
  const historyOf = async (site: Site, context: Context): Promise<ConsentLogRow[]> => {
    const device = deviceOf(context.req.header("cookie"), now());
    return device === undefined ? [] : queries.linksOfAtoms(site.id, await queries.atomsOfDevice(site.id, device));
  };

  app.options("/v1/consent", (context) => {
    const origin = context.req.header("origin");
    if (!directory.sites().some((site) => isPageOf(site, context))) return answerError(context, "origin_refused");
    return context.body(null, 204, {
      ...corsOf(origin),
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": `content-type, ${receiptHeader}`,
      "access-control-max-age": "600",
    });
  });

  app.get(
    "/v1/consent",
    describeRoute({
      description: `For a page that shows visitors their own choices. Reads the cookie that the collector has set, so it is asked on the collector's host, with credentials. After a withdrawal that cookie is gone: the id of the withdrawal, in the header ${receiptHeader}, then opens its receipt.`,
      responses: { 200: answer("State, history and receipt", schemas.visitorConsent), ...refusals },
    }),
    async (context) => {
      const site = directory.sites().find((each) => isPageOf(each, context));
      if (site === undefined) return answerError(context, "origin_refused");
      letRead(context);
      const tooMany = refuseTooMany(context);
      if (tooMany !== undefined) return tooMany;
      const links = await historyOf(site, context);
      const texts = new Map((await queries.filedTexts(site.id)).map((text) => [text.hash, text]));
      const receiptId = context.req.header(receiptHeader);
      const body: schemas.VisitorConsent = {
        site: site.id,
        state: stateOf(links, site, now()) as schemas.VisitorConsent["state"],
        history: links.toReversed().map((link) => ({
          id: link.consent_id,
          at: timeOf(link.at),
          receivedAt: timeOf(link.received_at),
          choices: link["choice.purpose"].map((purpose, i) => {
            const hash = link["text.hash"][link["text.purpose"].indexOf(purpose)] ?? "";
            const { title = "", text = "" } = texts.get(hash) ?? {};
            return { purpose, state: link["choice.state"][i] ?? "", title, text };
          }),
          language: link.language,
          variant: link.variant,
          regime: link.regime,
          gpc: link.gpc === 1,
        })),
        receipt: receiptId === undefined ? null : ((await queries.receiptOf(site.id, receiptId)) ?? null),
      };
      return context.json(body, 200);
    },
  );

  app.post(
    "/v1/consent",
    bodyLimit({
      maxSize: maxBodyBytes,
      onError: (context) => answerError(context, "invalid_request", "Send at most 8 KiB"),
    }),
    describeRoute({
      description:
        "Records a choice as the browser script does, and gives the state after it. A purpose that is not named is refused. With Global Privacy Control, ads is refused whatever is sent. Read `id`: after a withdrawal it opens the receipt.",
      responses: { 200: answer("The new state", schemas.visitorChoiceAnswer), ...refusals },
    }),
    async (context) => {
      // text/plain spares a page the preflight, as everywhere on the wire.
      if (directory.sites().some((each) => isPageOf(each, context))) letRead(context);
      const tooMany = refuseTooMany(context);
      if (tooMany !== undefined) return tooMany;
      const given = v.safeParse(schemas.visitorChoice, parseJson(await context.req.text()));
      if (!given.success)
        return answerError(context, "invalid_request", given.issues.map(({ message }) => message).join("; "));
      const { writeKey, purposes: wanted, notice, texts } = given.output;
      const key = directory.findKey(writeKey);
      if (key?.kind !== "write" || !isPageOf(key.site, context)) return answerError(context, "origin_refused");
      const { site } = key;
      const links = await historyOf(site, context);
      const before = stateOf(links, site, now());
      // A proxy may have said it twice.
      const gpc = (context.req.header("sec-gpc") ?? "").split(",").some((value) => value.trim() === "1");
      const mask = maskOf(
        purposes.slice(1).filter((purpose) => wanted[purpose] === true && !(gpc && purpose === "ads")),
      );
      const [at, id] = [now(), randomUUID()];
      const kept = context.req.header("cookie");
      const device = deviceOf(kept, at);
      const unasked = allowedUnasked({ site, links, cookieHeader: kept, isKnown: device !== undefined });
      const state = statesOf(mask, before, { granted: grantedOnDevice(kept), unasked });
      const cookies = await record(context, {
        writeKey,
        sentAt: new Date(at).toISOString(),
        batch: [
          {
            type: "consent",
            messageId: randomUUID(),
            timestamp: new Date(at).toISOString(),
            ...(device !== undefined && { anonymousId: device }),
            context: { consent: { v: 1, id, purposes: state, at: new Date(at).toISOString(), gpc, notice, texts } },
          },
        ],
      });
      if (cookies === undefined) return answerError(context, "choice_not_recorded");
      for (const cookie of cookies) context.header("set-cookie", cookie, { append: true });
      context.header("set-cookie", choiceCookie(context, site, { mask, at, consentId: id, texts }), { append: true });
      const body: schemas.VisitorChoiceAnswer = {
        site: site.id,
        id,
        at,
        state: state as schemas.VisitorConsent["state"],
      };
      return context.json(body, 200);
    },
  );

  /** The cookies that the collector sets; undefined when it did not take the choice, or it is not known whether it did. */
  async function record(context: Context, body: object): Promise<readonly string[] | undefined> {
    const headers: { [name: string]: string } = {};
    for (const name of forwardedHeaders) {
      const value = context.req.header(name);
      if (value !== undefined) headers[name] = value;
    }
    const { countryHeader } = edge();
    const { country } = clientOf(context);
    if (countryHeader !== undefined && country !== "") headers[countryHeader] = country;
    const peer = peerOf(context);
    if (peer !== undefined) headers["x-forwarded-for"] = [headers["x-forwarded-for"], peer].filter(Boolean).join(", ");
    // The collector sets and takes away cookies for the host that the visitor sees.
    headers["host"] = hostOf(context);
    const url = `${collectorUrl()}/v1/batch`;
    const answered = await postJson(url, { headers, body, withinMs: recordWithinMs }).catch(() => undefined);
    return (answered?.status === 200 || answered?.status === 202) && isAccepted(answered.text)
      ? (answered.headers["set-cookie"] ?? [])
      : undefined;
  }
}

/** Of the collector: a request that it takes can hold an event that it does not. */
function isAccepted(text: string): boolean {
  const answered = parseJson(text);
  return typeof answered === "object" && answered !== null && "accepted" in answered && answered.accepted === 1;
}

/**
 * A grant that is taken back is a withdrawal, also one that has grown too old, and so is a first no to what was allowed without asking; what was never
 * allowed is denied.
 * @param onDevice the record is some moments behind: a yes of just now is known to the device alone.
 */
const statesOf = (
  mask: PurposeMask,
  before: States,
  onDevice: { granted: PurposeMask; unasked: PurposeMask },
): States =>
  Object.fromEntries(
    purposes.slice(1).map((purpose: Purpose) => {
      const wasGiven =
        before[purpose] === "granted" ||
        before[purpose] === "expired" ||
        (before[purpose] === "unset" && hasPurpose(onDevice.unasked, purpose)) ||
        hasPurpose(onDevice.granted, purpose);
      return [purpose, hasPurpose(mask, purpose) ? "granted" : wasGiven ? "withdrawn" : "denied"];
    }),
  );

/**
 * What held of a visitor without a choice about it. Under which regime is known from the record, else from the device; a device that has an id of ours
 * and neither got it under a looser regime, where the site has one.
 */
function allowedUnasked(visitor: {
  site: Site;
  links: readonly ConsentLogRow[];
  cookieHeader: string | undefined;
  /** Has an id of ours. */
  isKnown: boolean;
}): PurposeMask {
  const { site, links, cookieHeader, isKnown } = visitor;
  const onDevice = regimeOnDevice(cookieHeader);
  const recorded = links.at(-1)?.regime;
  const canBeLooser = isKnown && [site.regime, ...site.regimes.values()].some(isLooser);
  const wasLooser = onDevice !== undefined || (recorded === undefined ? canBeLooser : isLooser(recorded));
  return wasLooser ? maskOf(purposes) & ~(onDevice?.objected ?? 0) : 0;
}

const isLooser = (regime: string): boolean => regime === "opt_out" || regime === "notice";

/** Whether the request comes from a page of the site. A site that takes pages from anywhere has those of its own host only: this answer is personal. */
function isPageOf(site: Site, context: Context): boolean {
  const origin = context.req.header("origin");
  if (origin === undefined) return false;
  if (site.origins.includes(origin)) return true;
  return site.origins.includes("*") && URL.canParse(origin) && new URL(origin).hostname === hostnameOf(context);
}

/** Address of the connection; undefined when there is none. */
export const peerOf = (context: Context): string | undefined =>
  (context.env as { incoming?: IncomingMessage } | undefined)?.incoming?.socket.remoteAddress;
const hostOf = (context: Context): string => context.req.header("host") ?? new URL(context.req.url).host;
const hostnameOf = (context: Context): string => new URL(`http://${hostOf(context)}`).hostname;

/** What the browser script keeps, so that it follows a choice that was made without it. */
function choiceCookie(context: Context, site: Site, choice: StoredChoice): string {
  const value = encodeChoice(choice);
  const isHttps = new URL(context.req.url).protocol === "https:" || context.req.header("x-forwarded-proto") === "https";
  return [
    `${choiceCookieName}=${value}`,
    `Max-Age=${choiceLifetimeSeconds}`,
    "Path=/",
    "SameSite=Lax",
    ...(site.cookieDomain === undefined ? [] : [`Domain=${site.cookieDomain}`]),
    ...(isHttps ? ["Secure"] : []),
  ].join("; ");
}

const corsOf = (origin: string | undefined): { [name: string]: string } => ({
  "access-control-allow-origin": origin ?? "",
  "access-control-allow-credentials": "true",
  vary: "Origin",
});
/** The page may read the answer, a refusal as well; nobody keeps it. */
function letRead(context: Context): void {
  const headers = { ...corsOf(context.req.header("origin")), "cache-control": "no-store" };
  for (const [name, value] of Object.entries(headers)) context.header(name, value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const answer = (description: string, schema: v.GenericSchema) => ({
  description,
  content: { "application/json": { schema: resolver(schema) } },
});
const refusals = {
  400: answer("The body is not of its form", schemas.errorAnswer),
  403: answer("Not a page of a site of ours", schemas.errorAnswer),
  429: answer("Too many requests from this address", schemas.errorAnswer),
  503: answer("ClickHouse or the collector does not answer", schemas.errorAnswer),
};
