import * as http from "node:http";
import type { Cancellation, EngineRequest } from "./engine-request.ts";

export interface ForwardOptions extends Cancellation {
  agent: http.Agent;
  host: string;
  port: number;
  request: EngineRequest;
  response: http.ServerResponse;
}

/**
 * Sends one request and streams the answer on, no faster than the client reads. Resolves when it is over: `away` when the engine gave no answer, so
 * that the caller can still give one.
 *
 * A client that leaves does not cut the engine's connection: the query is cancelled and what is left of the answer is read and thrown away.
 */
export async function forward(options: ForwardOptions): Promise<"done" | "away"> {
  for (;;) {
    const outcome = await forwardOnce(options);
    if (outcome !== "stale connection") return outcome;
  }
}

function forwardOnce(options: ForwardOptions): Promise<"done" | "away" | "stale connection"> {
  return new Promise((resolve) => {
    const { request, response } = options;
    let answer: http.IncomingMessage | undefined;
    let isAbandoned = false;
    let grace: NodeJS.Timeout | undefined;

    const upstream = http.request({
      agent: options.agent,
      host: options.host,
      port: options.port,
      method: request.method,
      path: request.path,
      headers: { ...request.headers, ...(request.body.length > 0 ? { "content-length": request.body.length } : {}) },
      maxHeaderSize: 1024 ** 2, // progress headers of a long query, when they cannot be tunnelled
    });

    const finish = (outcome: "done" | "away" | "stale connection") => {
      clearTimeout(grace);
      response.off("close", abandon);
      resolve(outcome);
    };
    const abandon = () => {
      if (response.writableFinished) return;
      isAbandoned = true;
      answer?.unpipe(response);
      answer?.resume();
      options.cancel().catch(() => {}); // the grace period ends it then
      grace = setTimeout(() => upstream.destroy(), options.graceMs);
    };

    upstream.once("response", (incoming) => {
      answer = incoming;
      incoming.once("error", () => {}); // "close" follows
      incoming.once("close", () => {
        // Cut short: so must the client's connection be, or half an answer would look whole.
        if (!incoming.complete) response.destroy();
        if (isAbandoned || response.writableFinished || response.destroyed) finish("done");
        else response.once("close", () => finish("done"));
      });
      if (isAbandoned) return void incoming.resume();
      response.sendDate = false;
      response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, passedHeaders(incoming.rawHeaders));
      response.flushHeaders();
      incoming.pipe(response);
    });
    upstream.once("error", (error: NodeJS.ErrnoException) => {
      if (answer !== undefined) return;
      // A kept connection that the engine had closed just then.
      const isStale = upstream.reusedSocket && !isAbandoned && (error.code === "ECONNRESET" || error.code === "EPIPE");
      finish(isStale ? "stale connection" : isAbandoned ? "done" : "away");
    });
    upstream.end(request.body);
    if (response.destroyed) abandon();
    else response.once("close", abandon);
  });
}

const hopByHop = new Set(["connection", "keep-alive", "transfer-encoding"]);

function passedHeaders(raw: readonly string[]): string[] {
  const passed: string[] = [];
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!;
    if (!hopByHop.has(name.toLowerCase())) passed.push(name, raw[index + 1]!);
  }
  return passed;
}
