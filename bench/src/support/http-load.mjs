import { Agent, request } from "node:http";

/**
 * Sends `bodies` in turn over `connections` kept-alive connections until `durationMs` has passed; each connection sends its next request when
 * the last one is answered. Resolves to what was seen: requests, answers other than 200, and latencies in milliseconds, ascending.
 */
export async function sendLoad({ url, bodies, headers, connections, durationMs }) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const target = new URL(url);
  const end = performance.now() + durationMs;
  const latencies = [];
  let others = 0;
  let next = 0;

  const once = (body) =>
    new Promise((resolve, reject) => {
      const sent = request(
        {
          agent,
          host: target.hostname,
          port: target.port,
          path: target.pathname,
          method: "POST",
          headers: { ...headers, "content-length": Buffer.byteLength(body) },
        },
        (answer) => {
          answer.resume();
          answer.on("end", () => resolve(answer.statusCode));
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });

  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < end) {
        const body = bodies[next++ % bodies.length];
        const from = performance.now();
        if ((await once(body)) !== 200) others++;
        latencies.push(performance.now() - from);
      }
    }),
  );
  agent.destroy();
  latencies.sort((a, b) => a - b);
  return { requests: latencies.length, others, latencies };
}

export const quantile = (ascending, q) => ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * q))];

export const median = (values) =>
  quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
