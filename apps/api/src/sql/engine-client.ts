import { randomUUID } from "node:crypto";
import * as http from "node:http";
import { renderParameters, type UrlParameter } from "./url-parameters.ts";

export interface EngineUser {
  username: string;
  password: string;
}

export interface EngineAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

/** The engine did not answer: it is away or starting. */
export class EngineAwayError extends Error {
  readonly code = "engine_away";
}

/** Short questions of our own to the engine, over a few kept connections. */
export interface EngineClient {
  ask(as: EngineUser, statement: Buffer, parameters: readonly UrlParameter[]): Promise<EngineAnswer>;
  close(): void;
}

export function createEngineClient(options: { url: string; timeoutMs: number; maxAnswerBytes: number }): EngineClient {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const target = new URL(options.url);

  const once = (as: EngineUser, statement: Buffer, parameters: readonly UrlParameter[]) =>
    new Promise<EngineAnswer | "stale connection">((resolve, reject) => {
      const request = http.request(
        {
          agent,
          host: target.hostname,
          port: target.port,
          method: "POST",
          path: `/?${renderParameters([{ name: "query_id", value: Buffer.from(randomUUID()) }, ...parameters])}`,
          headers: {
            "x-clickhouse-user": as.username,
            "x-clickhouse-key": as.password,
            "content-length": statement.length,
          },
          timeout: options.timeoutMs,
        },
        (response) => {
          const chunks: Buffer[] = [];
          let size = 0;
          response.on("data", (chunk: Buffer) => {
            size += chunk.length;
            if (size > options.maxAnswerBytes) response.destroy(new Error("the engine's answer is too long"));
            else chunks.push(chunk);
          });
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
          );
          response.on("error", (error) => reject(new EngineAwayError(error.message)));
        },
      );
      request.on("timeout", () => request.destroy(new Error("the engine did not answer in time")));
      // A kept connection may have been closed by the engine just now: ask again on a new one.
      request.on("error", (error: NodeJS.ErrnoException) => {
        const isStale = request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
        if (isStale) resolve("stale connection");
        else reject(new EngineAwayError(error.message));
      });
      request.end(statement);
    });

  return {
    async ask(as, statement, parameters) {
      for (;;) {
        const answer = await once(as, statement, parameters);
        if (answer !== "stale connection") return answer;
      }
    },
    close: () => agent.destroy(),
  };
}
