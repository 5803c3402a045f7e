export interface HealthChecks {
  /** Undefined when the process may live on; else why it should be restarted. */
  live?: () => string | undefined;
  /** Undefined when it can do its work now; else what is missing. */
  ready: () => Promise<string | undefined>;
  /** Prometheus text. */
  metrics: () => Promise<string>;
}

/** Answers `/livez`, `/readyz` and `/metrics` of a process that has no other HTTP interface. Anything else is 404. */
export function createHealthHandler(checks: HealthChecks): (request: Request) => Promise<Response> {
  const verdict = (problem: string | undefined): Response =>
    new Response(`${problem ?? "ok"}\n`, { status: problem === undefined ? 200 : 503 });
  return async (request) => {
    switch (new URL(request.url).pathname) {
      case "/livez":
        return verdict(checks.live?.());
      case "/readyz":
        return verdict(await checks.ready());
      case "/metrics":
        return new Response(await checks.metrics(), {
          headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
        });
      default:
        return new Response("not found\n", { status: 404 });
    }
  };
}
