import { serve } from "@hono/node-server";
import { Hono } from "hono";

// The reference: the same framework, parses the body and answers. Checks nothing, stores nothing.
const app = new Hono();
app.post("/v1/batch", async (c) => {
  const { batch } = JSON.parse(await c.req.text());
  return c.json({ accepted: batch.length, rejected: [] });
});
const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) =>
  process.send({ url: `http://127.0.0.1:${port}` }),
);
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
