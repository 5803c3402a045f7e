import { connect, type Socket } from "node:net";
import type { Cancellation, EngineRequest } from "./engine-request.ts";

export interface TunnelOptions extends Cancellation {
  host: string;
  port: number;
  request: EngineRequest;
  httpVersion: string;
  client: Socket;
}

/**
 * As `forward`, byte by byte: the headers of a query that tells its progress come one by one while it runs, which no HTTP library hands on.
 * The client's connection carries nothing after it.
 */
export function tunnel(options: TunnelOptions): Promise<"done" | "away"> {
  return new Promise((resolve) => {
    const { client } = options;
    const engine = connect({ host: options.host, port: options.port, noDelay: true });
    let hasBegun = false;
    let isAbandoned = false;
    let grace: NodeJS.Timeout | undefined;

    const abandon = () => {
      isAbandoned = true;
      engine.unpipe(client);
      engine.resume();
      options.cancel().catch(() => {}); // the grace period ends it then
      grace = setTimeout(() => engine.destroy(), options.graceMs);
    };

    engine.once("connect", () => engine.write(render(options.request, options.httpVersion)));
    engine.once("readable", () => {
      if (engine.readableLength === 0) return; // ended without a byte
      hasBegun = true;
      if (isAbandoned) engine.resume();
      else engine.pipe(client);
    });
    engine.once("error", () => {}); // "close" follows
    engine.once("close", () => {
      clearTimeout(grace);
      client.off("close", abandon);
      if (hasBegun && !engine.readableEnded) client.destroy(); // cut short
      resolve(hasBegun || isAbandoned ? "done" : "away");
    });
    if (client.destroyed) abandon();
    else client.once("close", abandon);
  });
}

function render(request: EngineRequest, httpVersion: string): Buffer {
  const headers = {
    host: "localhost",
    ...request.headers,
    connection: "close",
    "content-length": String(request.body.length),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`${request.method} ${request.path} HTTP/${httpVersion}\r\n${lines.join("")}\r\n`, "latin1"),
    request.body,
  ]);
}
