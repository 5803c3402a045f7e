import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { createAccount } from "./account.mjs";
import { startOrigin } from "./origin.mjs";

const answerAfterMs = 50;

/** Plain, gzipped, or a form with one field, in base64 or not. */
function parseBody(bytes) {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const body = (isGzip ? gunzipSync(bytes) : bytes).toString();
  const text = body.startsWith("data=") ? new URLSearchParams(body).get("data") : body;
  return JSON.parse(/^\s*[[{]/.test(text) ? text : Buffer.from(text, "base64").toString());
}

/**
 * A collector that keeps nothing but an account of what it has seen of each event.
 * @param sdk whose requests it reads.
 */
export async function startSink({ certificate, sdk }) {
  const account = createAccount();
  const requests = [];
  let answer = () => ({ status: 200 });

  const take = async (request, response, cors) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const at = Date.now();
    const body = bytes.length > 0 ? parseBody(bytes) : {};
    const events = sdk
      .eventsOf(body)
      .map((event) => ({ mark: sdk.markOf(event), id: sdk.idOf?.(event) }))
      .filter(({ mark }) => mark !== undefined);
    // What carries none of the marked events (a page view, a setting asked for) counts for nothing, but is refused like the rest.
    const { status, retryAfterMs } = answer(at);
    const sighting = { at, status, mayRetryAt: at + (retryAfterMs ?? 0) };
    if (events[0]) requests.push({ at, status, bytes: bytes.length });
    for (const { mark, id } of events) account.see(mark, { ...sighting, id });
    await sleep(answerAfterMs);
    response.writeHead(status, {
      ...cors,
      "content-type": "application/json",
      ...(retryAfterMs !== undefined && { "retry-after": String(Math.ceil(retryAfterMs / 1000)) }),
    });
    response.end(status < 300 ? (sdk.answer ?? "{}") : "{}");
  };

  const handle = async (request, response) => {
    const cors = {
      "access-control-allow-origin": request.headers.origin ?? "*",
      "access-control-allow-credentials": "true",
      "access-control-expose-headers": "Retry-After",
    };
    if (request.method === "POST") return take(request, response, cors);
    if (request.method === "OPTIONS") {
      await sleep(answerAfterMs);
      response.writeHead(204, {
        ...cors,
        "access-control-allow-methods": "GET, POST, OPTIONS",
        "access-control-allow-headers": request.headers["access-control-request-headers"] ?? "*",
      });
      return response.end();
    }
    const settings = sdk.settingsAt?.(request.url);
    response.writeHead(settings ? 200 : 404, { ...cors, "content-type": "application/json" });
    return response.end(JSON.stringify(settings ?? {}));
  };

  const origin = await startOrigin({
    certificate,
    host: "127.0.0.1",
    handle: (request, response) => {
      // A tab that goes away in the middle of a request.
      handle(request, response).catch((error) => {
        if (error.code !== "ECONNRESET" && error.code !== "ERR_HTTP2_STREAM_ERROR" && !request.destroyed) throw error;
      });
    },
  });

  return {
    ...origin,
    ...account,
    requests,
    /** Answers from now on: `(at) => ({ status, retryAfterMs })`. */
    answer(decide) {
      answer = decide;
    },
    /** Until so many have arrived, or the time is over; then a moment more, for second copies. */
    async settle(count, withinMs) {
      const end = Date.now() + withinMs;
      while (account.arrived() < count && Date.now() < end) await sleep(50);
      await sleep(1_000);
    },
  };
}
