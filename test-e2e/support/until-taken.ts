import { patienceMs } from "./patience.ts";

/**
 * Sends as clients of ours do: a collector that could not make an event durable within a second says 503, and is sent the same once more. Gives back
 * any other answer, or the last one.
 */
export async function untilTaken(send: () => Promise<Response>): Promise<Response> {
  const from = performance.now();
  for (;;) {
    const answer = await send();
    if (answer.status !== 503 || performance.now() - from > patienceMs) return answer;
    await answer.text();
    await new Promise((resolve) => setTimeout(resolve, 50)); // not a wait: a client's backoff
  }
}
