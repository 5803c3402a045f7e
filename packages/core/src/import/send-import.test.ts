import { limits } from "@polder/protocol";
import { expect, it } from "vitest";
import type { ImportEvent } from "./plan-row.ts";
import { createImportSender, ImportStoppedError, type PostAnswer } from "./send-import.ts";

type Say = number | "cut" | { status: number; retryAfter?: string; text?: string };

const eventOf = (n: number, size = 0): ImportEvent => ({
  type: "track",
  event: "Ordered",
  messageId: `m-${n}`,
  timestamp: "2026-11-22T20:15:00.000Z",
  properties: { text: "x".repeat(size) },
});
const events = (count: number, size?: number): ImportEvent[] =>
  Array.from({ length: count }, (_, n) => eventOf(n, size));

/** A collector that says what it is told, in turn, and then takes everything; `refuses` are the ids it takes never. */
function build(says: Say[] = [], { refuses = [] as string[], maxEventsPerSecond = 1e9 } = {}) {
  const requests: string[][] = [];
  const bodies: { context: object }[] = [];
  const pauses: number[] = [];
  let time = 0;
  const send = createImportSender({
    async post(body): Promise<PostAnswer> {
      const parsed = JSON.parse(body) as { batch: ImportEvent[]; context: object };
      expect(Buffer.byteLength(body)).toBeLessThanOrEqual(limits.maxRequestBytes);
      bodies.push(parsed);
      const ids = parsed.batch.map(({ messageId }) => messageId);
      requests.push(ids);
      const said = says.shift() ?? 200;
      if (said === "cut") throw new Error("the connection was cut");
      const { status, retryAfter, text } =
        typeof said === "number" ? { status: said, retryAfter: undefined, text: undefined } : said;
      const rejected = ids.flatMap((id, index) =>
        refuses.includes(id) ? [{ index, messageId: id, reason: "no_consent", detail: "No." }] : [],
      );
      const answer =
        status < 300
          ? { accepted: ids.length - rejected.length, rejected }
          : { code: "c", message: "It says why.", docs: "" };
      return { status, retryAfter, text: text ?? JSON.stringify(answer) };
    },
    async pause(ms) {
      pauses.push(ms);
      time += ms;
    },
    clock: () => time,
    context: { origin: "observed" },
    maxEventsPerSecond,
  });
  return { send, requests, bodies, pauses };
}

it("sends as many at once as a request holds, each once, with what they have in common said once", async () => {
  const { send, requests, bodies } = build();
  expect(await send(events(2_300))).toEqual({ accepted: 2_300, refused: [] });
  expect(requests.map((ids) => ids.length)).toEqual([1_000, 1_000, 300]);
  expect(requests.flat()).toEqual(events(2_300).map(({ messageId }) => messageId));
  expect(bodies[0]!.context).toEqual({ origin: "observed" });
  const large = build();
  await large.send(events(100, 20_000));
  expect(large.requests.length).toBeGreaterThan(4);
  expect(large.requests.flat()).toHaveLength(100);
});

it("sends the same again after a cut, a 429 and a 503, not before it may, and takes 202 for an answer", async () => {
  const { send, requests, pauses } = build(["cut", { status: 429, retryAfter: "7" }, 503, 202]);
  expect(await send(events(2))).toEqual({ accepted: 2, refused: [] });
  expect(requests).toEqual(Array.from({ length: 4 }, () => ["m-0", "m-1"]));
  expect(pauses).toEqual([500, 7_000, 2_000]);
});

it("halves what is too large, and refuses the one that is too large alone", async () => {
  const { send, requests } = build([413, 413, 200, 413]);
  expect(await send(events(3))).toEqual({
    accepted: 2,
    refused: [{ index: 0, reason: "event_too_large", detail: expect.any(String) as string }],
  } satisfies { accepted: number; refused: object[] } as never);
  expect(requests.map((ids) => ids.join())).toEqual(["m-0,m-1,m-2", "m-0", "m-1,m-2"]);
});

it("says which were refused, by their place among all", async () => {
  const { send } = build([], { refuses: ["m-1500"] });
  expect(await send(events(1_600))).toEqual({
    accepted: 1_599,
    refused: [{ index: 1_500, reason: "no_consent", detail: "No." }],
  });
});

it.each([400, 401, 403, 404, 415])(
  "ends at a %i with the collector's words, and does not try again",
  async (status) => {
    const { send, requests } = build([status]);
    await expect(send(events(1))).rejects.toThrow("It says why.");
    expect(requests).toHaveLength(1);
  },
);

it("ends when nothing takes events for ten minutes, and when what answers is no collector", async () => {
  const away = build(Array<Say>(200).fill("cut"));
  await expect(away.send(events(1))).rejects.toThrow(ImportStoppedError);
  expect(away.pauses.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThan(570_000);
  await expect(build([{ status: 200, text: "<html>" }]).send(events(1))).rejects.toThrow("no collector");
});

it("leaves room for visitors", async () => {
  const { send, pauses } = build([], { maxEventsPerSecond: 500 });
  await send(events(2_000));
  await send(events(1_000));
  expect(pauses).toEqual([2_000, 2_000]);
});
