// Sends what only a server knows: node send.mjs. Node's own modules; the wire is Segment's HTTP API.
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const collector = process.env.POLDER_COLLECTOR ?? "http://localhost:8081";
const serverKey = process.env.POLDER_SERVER_KEY;
if (!serverKey) {
  console.error("Set POLDER_SERVER_KEY to a server key of your site (`polder key add server` makes one).");
  process.exit(1);
}

/** Sends a batch until the collector has an answer to it. A retry carries the same ids, so it is stored once. */
async function send(batch) {
  const body = JSON.stringify({ batch, sentAt: new Date().toISOString() });
  for (let attempt = 0; attempt < 8; attempt++) {
    const answer = await post(body);
    // 200: in the log. 202: safe on the collector's disk. Both are promises, and both list what was refused and why.
    if (answer?.ok) return answer.json();
    // 4xx will never be taken as it was sent; 429 and 5xx may be, later.
    if (answer && answer.status < 500 && answer.status !== 429)
      throw new Error(`${answer.status}: ${await answer.text()}`);
    const seconds = Number(answer?.headers.get("retry-after")) || Math.min(2 ** attempt, 30);
    await pause(seconds * 1000 * (0.75 + Math.random() / 2));
  }
  throw new Error("The collector did not answer. Keep the batch and send it again: its ids make that safe.");
}

async function post(body) {
  const headers = { "content-type": "application/json", authorization: `Basic ${btoa(`${serverKey}:`)}` };
  try {
    return await fetch(`${collector}/v1/batch`, { method: "POST", headers, body, signal: AbortSignal.timeout(10_000) });
  } catch {
    return undefined;
  }
}

const userId = "customer-42";
const result = await send([
  {
    type: "identify",
    messageId: randomUUID(),
    timestamp: new Date().toISOString(),
    userId,
    traits: { email: "ada@example.com", plan: "spring" },
  },
  {
    type: "track",
    messageId: randomUUID(),
    timestamp: new Date().toISOString(),
    userId,
    event: "Order Completed",
    properties: { order_id: "A-1001", total: 24.5, currency: "EUR" },
  },
]);
console.log(`accepted ${result.accepted}, rejected ${result.rejected.length}`);
for (const { index, reason, detail } of result.rejected) console.log(`  event ${index}: ${reason} ${detail ?? ""}`);
