import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import {
  createImportSender,
  CsvError,
  importContext,
  importKeyFault,
  importRateOf,
  ImportStoppedError,
  noCounts,
  openImport,
  runImport,
  type ImportCounts,
  type ImportMapping,
  type ImportSend,
  type ImportStore,
  type OpenedImport,
  type PostAnswer,
  type RefusedRow,
  type Site,
  type SiteDirectory,
  type SiteKey,
} from "@polder/core";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { describeRoute, validator } from "hono-openapi";
import { answerError } from "../errors.ts";
import { answers, failures, private_, refuseForm } from "../route-answers.ts";
import { siteQuery } from "../schemas.ts";
import * as schemas from "./import-schemas.ts";

export interface ImportRoutesOptions {
  store: ImportStore;
  directory: SiteDirectory;
  /** Where events are sent, as `http://127.0.0.1:8081`: an import has the guarantees of every other client, and no way around them. */
  collectorUrl: () => string;
}

const maxBytes = 32 * 1024 ** 2;
const maxRefused = 1_000;
const shownRows = 3;
const requestWithinMs = 15_000;
const giveUpAfterMs = 30_000;
const listed = 200;
const keyHeader = "x-write-key";

/** Files of people and offline events, for tools that cannot run the command line. */
export function addImportRoutes(
  app: Hono,
  options: ImportRoutesOptions & {
    guarded: MiddlewareHandler;
    findSite: (context: Context, id: string | undefined) => { id: string } | Response;
    /** Milliseconds since 1970. */
    now: () => number;
  },
): void {
  const { store, directory, collectorUrl, guarded, findSite, now } = options;

  app.post(
    "/v1/imports",
    guarded,
    requireCsv,
    describeRoute({
      description: `Imports a CSV file of ${maxBytes / 1024 ** 2} MiB at most (the command line takes larger ones), sent as text/csv, with a server key in the header ${keyHeader}. Answered when all of it was taken by the collector. The same file twice changes nothing.`,
      requestBody: { content: { "text/csv": { schema: { type: "string" } } } },
      responses: {
        200: answers("What became of the rows", schemas.importReport),
        422: answers("The file breaks off: what was taken before", schemas.importReport),
        ...failures(400, 401, 404, 415, 503),
      },
    }),
    validator("query", schemas.importQuery, refuseForm),
    async (context) => {
      const asked = context.req.valid("query");
      const startedAt = now();
      const refuse = (message: string): Response => answerError(context, "invalid_request", message);
      const keyText = context.req.header(keyHeader);
      const key = keyText === undefined ? undefined : directory.findKey(keyText);
      const site = siteOf(context, key);
      if (site instanceof Response) return site;
      if (!asked.dryRun && keyText === undefined)
        return refuse(`Send a server key in the header ${keyHeader}, or ask for a dry run`);
      if (!asked.dryRun && asked.actor === undefined) return refuse("Say who imports with actor, or ask for a dry run");
      if (!asked.dryRun && asked.mapping === undefined)
        return refuse(
          "Send a mapping, or mapping=auto when a dry run has shown that the names of the columns say it right",
        );
      const mapping = mappingOf(asked.mapping);
      if (mapping === "broken") return refuse("mapping is not JSON");
      const asOf = asked.asOf === undefined ? undefined : Date.parse(asked.asOf);
      if (asOf !== undefined && asOf > startedAt) return refuse("asOf is in the future");

      if (Number(context.req.header("content-length") ?? 0) > maxBytes) return answerError(context, "import_too_large");
      const body = context.req.raw.body;
      if (body === null) return refuse("The body is empty: send the file as text/csv");
      const bytes = limited(body);
      let opened: OpenedImport;
      try {
        const result = await openImport({ bytes, kind: asked.kind, mapping, site, asOf, now });
        if (!result.ok)
          return answerError(
            context,
            "invalid_request",
            result.faults.map(({ path, message }) => `${path} ${message}`).join("; "),
            {
              faults: result.faults,
              headers: result.headers,
            },
          );
        opened = result;
      } catch (error) {
        if (error instanceof CsvError) return refuse(`Line ${error.line}: ${error.message}`);
        if (error instanceof TooLargeError) return answerError(context, "import_too_large");
        throw error;
      }
      const keyFault = keyText === undefined ? undefined : importKeyFault(key, opened.mapping);
      if (keyFault !== undefined) return refuse(keyFault);
      if (!asked.dryRun && asOf === undefined && !hasTimes(opened.mapping))
        return refuse(
          "Nothing says of when this is: send asOf, when the file was written (as 2026-11-22T20:15:00Z), or map a column to time. An old file would overrule what is newer, and bring back who was erased",
        );

      const importId = randomUUID();
      const refused: RefusedRow[] = [];
      let moreRefused = 0;
      const events: schemas.ImportReport["events"] = [];
      let last = noCounts();
      const reportOf = (counts: ImportCounts, message: string): schemas.ImportReport => ({
        import: asked.dryRun ? "" : importId,
        site: site.id,
        kind: asked.kind,
        dryRun: asked.dryRun,
        isFinished: message === "",
        message,
        encoding: opened.file.encoding(),
        separator: opened.file.separator,
        columns: opened.mapping.columns,
        notTaken: opened.notTaken,
        origin: opened.mapping.origin,
        basis: key?.basis?.basis ?? "",
        counts: countsOf(counts),
        refused,
        moreRefused,
        events,
      });
      const { signal } = context.req.raw;
      try {
        const { counts, isStopped } = await runImport({
          rows: opened.file.rows,
          plan: opened.plan,
          site: site.id,
          store,
          send: asked.dryRun ? undefined : createSend({ collectorUrl, keyText: keyText!, opened, site, signal }),
          asOf: asOf ?? startedAt,
          mark: { importId, kind: asked.kind, actor: asked.actor ?? "", fileName: asked.file },
          now,
          onRefused(row) {
            if (refused.length < maxRefused) refused.push(row);
            else moreRefused++;
          },
          onPlanned(event, line) {
            if (!asked.dryRun || events.length >= shownRows) return;
            const { messageId: _, ...rest } = event;
            events.push({ line, event: rest });
          },
          onProgress: (sofar) => (last = structuredClone(sofar)),
          isStopped: () => signal.aborted,
        });
        return context.json(reportOf(counts, isStopped ? "The request was cut off" : ""), 200, private_);
      } catch (error) {
        if (error instanceof CsvError)
          return context.json(reportOf(last, `Line ${error.line}: ${error.message}`), 422, private_);
        if (error instanceof TooLargeError)
          return answerError(context, "import_too_large", undefined, { report: reportOf(last, error.message) });
        if (error instanceof ImportStoppedError)
          return answerError(context, "import_stopped", error.message, { report: reportOf(last, error.message) });
        throw error;
      }
    },
  );

  app.get(
    "/v1/imports",
    guarded,
    describeRoute({
      description: `Who imported what, when, on which lawful basis, and how much of it is stored. The newest first, ${listed} at most.`,
      responses: { 200: answers("Imports", schemas.importList), ...failures(400, 401, 404, 503) },
    }),
    validator("query", siteQuery, refuseForm),
    async (context) => {
      const site = findSite(context, context.req.valid("query").site);
      if (site instanceof Response) return site;
      const imports = await store.imports(site.id, listed);
      return context.json(
        { imports: imports.map((each) => ({ ...each, finishedAt: each.finishedAt ?? null })) },
        200,
        private_,
      );
    },
  );

  /** The site of the key; in a dry run without one, that of the query. */
  function siteOf(context: Context, key: SiteKey | undefined): Site | Response {
    const asked = context.req.query("site");
    if (key !== undefined)
      return asked === undefined || asked === key.site.id
        ? key.site
        : answerError(context, "invalid_request", `The key is of the site ${key.site.id}`);
    const found = findSite(context, asked);
    if (found instanceof Response) return found;
    return directory.findSite(found.id) ?? answerError(context, "unknown_site");
  }
}

const hasTimes = ({ columns, constants }: ImportMapping): boolean =>
  Object.hasOwn(constants, "time") || Object.values(columns).includes("time");

/** A page of somebody else can send other types without being asked whether it may. */
const requireCsv: MiddlewareHandler = async (context, next) => {
  const type = context.req.header("content-type")?.split(";")[0]?.trim().toLowerCase();
  return type === "text/csv" ? next() : answerError(context, "csv_required");
};

class TooLargeError extends Error {
  readonly code = "import_too_large";
}

async function* limited(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw new TooLargeError("The file is larger than this takes");
    yield chunk;
  }
}

/** Undefined: by the names of the columns. */
function mappingOf(text: string | undefined): unknown {
  if (text === undefined || text === "auto") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return "broken";
  }
}

function createSend(given: {
  collectorUrl: () => string;
  keyText: string;
  opened: OpenedImport;
  site: Site;
  signal: AbortSignal;
}): ImportSend {
  const { collectorUrl, keyText, opened, site, signal } = given;
  const headers = {
    authorization: `Basic ${Buffer.from(`${keyText}:`).toString("base64")}`,
    "content-type": "application/json",
  };
  const post = async (body: string): Promise<PostAnswer> => {
    const response = await fetch(`${collectorUrl()}/v1/import`, {
      method: "POST",
      body,
      headers,
      signal: AbortSignal.timeout(requestWithinMs),
    });
    return {
      status: response.status,
      retryAfter: response.headers.get("retry-after") ?? undefined,
      text: await response.text(),
    };
  };
  return createImportSender({
    post,
    pause: (ms) => pause(ms, undefined, { signal }),
    clock: () => performance.now(),
    context: importContext(opened.mapping),
    maxEventsPerSecond: importRateOf(site),
    giveUpAfterMs,
  });
}

const countsOf = ({ events, people, ...counts }: ImportCounts): schemas.ImportReport["counts"] => ({
  ...counts,
  ...events,
  newPeople: people.new,
  knownPeople: people.known,
});
