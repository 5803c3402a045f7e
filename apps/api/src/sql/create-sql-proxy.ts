import { randomUUID } from "node:crypto";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { errorText, type Logger } from "@polder/core";
import { isLoopback, isLocalHostHeader } from "../local-host.ts";
import { authenticate } from "./authenticate.ts";
import { createJudge } from "./create-judge.ts";
import { createEngineClient, EngineAwayError, type EngineAnswer, type EngineUser } from "./engine-client.ts";
import type { EngineRequest } from "./engine-request.ts";
import { forward } from "./forward.ts";
import { readStatement } from "./read-statement.ts";
import { badRequest, notAllowed, renderRefusal, tooBusy, unavailable, type Refusal } from "./refusal.ts";
import { tunnel } from "./tunnel.ts";
import { parseParameters, renderParameters, type UrlParameter } from "./url-parameters.ts";

export interface SqlProxyOptions {
  /** The engine's private HTTP port, as `http://127.0.0.1:40123`. */
  engineUrl: string;
  /** Cancels queries of clients that left, and asks the engine's lexer. */
  admin: EngineUser;
  /** Every client is this user to the engine: read-only, with grants on what analysts may see. */
  analyst: EngineUser;
  /** What clients give as the password of `default`. Without one the proxy listens on the loopback only. */
  analystPassword?: string;
  logger: Logger;
  limits?: Partial<SqlProxyLimits>;
}

export interface SqlProxyLimits {
  /** After inflating. The engine parses no more than 256 KiB (`max_query_size`) either. */
  maxStatementBytes: number;
  maxConnections: number;
  /** Queries under way at once; more are answered 503. */
  maxQueries: number;
  /** For the head of a request, and for all of it, in milliseconds. */
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  /** For the engine to judge a statement, in milliseconds. */
  judgeTimeoutMs: number;
  /** How long a connection may wait for its next request, in milliseconds. */
  idleTimeoutMs: number;
  cancelGraceMs: number;
}

export interface SqlProxy {
  /** Resolves with the address that it listens on. Port 0: any free one. */
  listen(address: { host: string; port: number }): Promise<{ host: string; port: number }>;
  /** Stops accepting, lets the queries under way finish for up to `graceMs` (default 2,000), then cuts them. */
  close(graceMs?: number): Promise<void>;
}

const defaultLimits: SqlProxyLimits = {
  maxStatementBytes: 256 * 1024,
  maxConnections: 256,
  maxQueries: 32,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  judgeTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  cancelGraceMs: 10_000,
};

/** Pages of the engine's own that hold no data. */
const openPaths = /^\/(?:ping|replicas_status|play|js\/[\w.-]+)?$/;

/** Headers that say how the answer should look, or help to find a query again. Nothing else of a client reaches the engine. */
const passedHeaderNames = [
  "accept",
  "accept-encoding",
  "user-agent",
  "x-clickhouse-database",
  "x-clickhouse-format",
  "traceparent",
  "tracestate",
];

/** In the URL of a query, but not for the engine: used here, or able to lift what the analyst's profile says. */
const ownParameters = new Set(["query", "user", "password", "query_id"]);
const refusedParameters = new Set(["profile", "role", "decompress"]);

export function createSqlProxy(options: SqlProxyOptions): SqlProxy {
  const limits = { ...defaultLimits, ...options.limits };
  const { logger, analyst, admin } = options;
  const engineAddress = new URL(options.engineUrl);
  const engine = createEngineClient({
    url: options.engineUrl,
    timeoutMs: limits.judgeTimeoutMs,
    maxAnswerBytes: 32 * 1024 ** 2,
  });
  const judge = createJudge({ engine, admin, analyst });
  const agent = new http.Agent({ keepAlive: true });
  let queries = 0;
  const tunnelled = new WeakSet<Duplex>();
  let isGuarded = false; // whether the name in Host must be a local one

  const answer = (response: http.ServerResponse, refusal: Refusal) => {
    const { headers, body } = renderRefusal(refusal);
    response.writeHead(refusal.status, headers).end(body);
  };

  const passOn = async (
    incoming: http.IncomingMessage,
    response: http.ServerResponse,
    request: EngineRequest,
    queryId: string,
  ): Promise<void> => {
    const cancel = async () => {
      if (queryId === "") return;
      const parameter = (name: string, value: string) => ({ name: `param_${name}`, value: Buffer.from(value) });
      await engine.ask(admin, killStatement, [parameter("id", queryId), parameter("user", analyst.username)]);
    };
    const common = {
      host: engineAddress.hostname,
      port: Number(engineAddress.port),
      request,
      cancel,
      graceMs: limits.cancelGraceMs,
    };
    // A response that is not the first in its connection's queue has no socket yet.
    const { socket } = response;
    if (!asksForProgress(request) || socket === null) {
      if ((await forward({ ...common, agent, response })) === "away") answer(response, engineIsAway);
      return;
    }
    tunnelled.add(socket);
    const outcome = await tunnel({ ...common, client: socket, httpVersion: incoming.httpVersion });
    tunnelled.delete(socket);
    if (outcome === "away") answer(response, engineIsAway);
  };

  const handle = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const target = request.url ?? "/";
    const at = target.indexOf("?");
    const path = at < 0 ? target : target.slice(0, at);
    const parameters = parseParameters(at < 0 ? "" : target.slice(at));
    const method = request.method ?? "";
    if (isGuarded && !isLocalHostHeader(request.headers.host)) {
      return answer(response, badRequest("This port answers to localhost and 127.0.0.1 only", 421));
    }
    if (method === "OPTIONS") return void response.writeHead(204).end();
    const isRead = method === "GET" || method === "HEAD";
    if (isRead && openPaths.test(path) && !parameters.some(({ name }) => name === "query")) {
      const search = renderParameters(parameters.filter(({ name }) => !ownParameters.has(name)));
      const headers = passedHeaders(request);
      return passOn(
        request,
        response,
        { method, path: search === "" ? path : `${path}?${search}`, headers, body: Buffer.alloc(0) },
        "",
      );
    }
    if (path !== "/" && path !== "/query") return answer(response, notFound);
    if (method !== "GET" && method !== "POST" && method !== "PUT") {
      return answer(response, badRequest("Send a statement with GET or POST", 405));
    }
    const stranger = authenticate(request.headers, parameters, options.analystPassword);
    if (stranger !== undefined) return answer(response, stranger);
    const refused = parameters.find(({ name, value }) => refusedParameters.has(name) && value.toString() !== "0");
    if (refused !== undefined) return answer(response, refusedParameter(refused.name));
    if (queries >= limits.maxQueries)
      return answer(response, tooBusy("Too many queries are under way: wait for one to end"));
    queries++;
    try {
      await run(request, response, parameters);
    } finally {
      queries--;
    }
  };

  const run = async (
    request: http.IncomingMessage,
    response: http.ServerResponse,
    parameters: UrlParameter[],
  ): Promise<void> => {
    const query = Buffer.concat(parameters.filter(({ name }) => name === "query").map(({ value }) => value));
    const read = await readStatement(request, query, limits);
    if (!read.ok) return answer(response, read.refusal);
    const verdict = await judge(read.statement, parameters);
    if (verdict.kind === "refused") return answer(response, verdict.refusal);
    if (verdict.kind === "answered") return relay(response, verdict.answer);
    if (request.socket.destroyed) return;
    const queryId = parameters.findLast(({ name }) => name === "query_id")?.value.toString("utf8") || randomUUID();
    const kept = parameters.filter(({ name }) => !ownParameters.has(name) && !refusedParameters.has(name));
    const path = `/?${renderParameters([...kept, { name: "query_id", value: Buffer.from(queryId) }])}`;
    const headers = {
      ...passedHeaders(request),
      "x-clickhouse-user": analyst.username,
      "x-clickhouse-key": analyst.password,
    };
    await passOn(request, response, { method: "POST", path, headers, body: read.statement }, queryId);
  };

  const server = http.createServer(
    {
      // Statements come in the URL too, percent-encoded.
      maxHeaderSize: limits.maxStatementBytes * 3 + 64 * 1024,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs),
    },
    (request, response) => {
      if (tunnelled.has(request.socket)) return; // that connection ends with the answer under way
      handle(request, response).catch((error: unknown) => {
        if (request.socket.destroyed || response.headersSent) return void request.socket.destroy();
        if (error instanceof EngineAwayError) return answer(response, engineIsAway);
        logger.error("sql request failed", { error: errorText(error) });
        answer(response, {
          status: 500,
          code: 1001,
          name: "STD_EXCEPTION",
          message: "The request could not be handled",
        });
      });
    },
  );
  // An answer may be on its way past Node: nothing of ours may be written into it.
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || tunnelled.has(socket)) return void socket.destroy();
    const { status, refusal } = describeClientError(error.code);
    const { headers, body } = renderRefusal(refusal);
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n${head.join("")}\r\n${body}`, () => socket.destroy());
  });
  server.maxConnections = limits.maxConnections;
  server.keepAliveTimeout = limits.idleTimeoutMs;

  return {
    async listen({ host, port }) {
      isGuarded = options.analystPassword === undefined;
      if (isGuarded && !isLoopback(host)) {
        throw new Error(
          `SQL would be open to everybody on ${host}: set a password for analysts, or listen on 127.0.0.1`,
        );
      }
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ host, port }, () => {
          server.off("error", reject);
          resolve();
        });
      });
      return { host, port: (server.address() as AddressInfo).port };
    },
    async close(graceMs = 2_000) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(cut);
      engine.close();
      agent.destroy();
    },
  };
}

function describeClientError(code: string | undefined): { status: string; refusal: Refusal } {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return {
        status: "431 Request Header Fields Too Large",
        refusal: badRequest("The head of the request is too long: send the statement in the body"),
      };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { status: "408 Request Timeout", refusal: badRequest("The request did not arrive in time") };
    default:
      return { status: "400 Bad Request", refusal: badRequest("This is not HTTP") };
  }
}

const engineIsAway = unavailable("The database is starting again: ask again in a second");

const notFound: Refusal = {
  ...badRequest("There is nothing here: statements go to /, /ping tells whether the database answers", 404),
};

const refusedParameter = (name: string): Refusal =>
  name === "decompress"
    ? badRequest(
        "Bodies in ClickHouse's own compression are not taken: send the statement as it is, or with Content-Encoding: gzip",
        415,
      )
    : notAllowed(`The parameter ${name} cannot be given: it would change what this port allows`);

const killStatement = Buffer.from("KILL QUERY WHERE query_id = {id:String} AND user = {user:String} ASYNC");

function passedHeaders(request: http.IncomingMessage): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of passedHeaderNames) {
    const value = request.headers[name];
    if (value !== undefined) passed[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return passed;
}

const asksForProgress = (request: EngineRequest): boolean =>
  /[?&]send_progress_in_http_headers=(?!0(?:&|$))/.test(request.path);

/** An answer of the engine to a question of ours, with its own headers. */
function relay(response: http.ServerResponse, answer: EngineAnswer): void {
  const headers = Object.entries(answer.headers).filter(
    ([name]) => name.startsWith("x-clickhouse-") || name === "content-type" || name === "access-control-expose-headers",
  );
  response.writeHead(answer.status, Object.fromEntries(headers) as http.OutgoingHttpHeaders).end(answer.body);
}
