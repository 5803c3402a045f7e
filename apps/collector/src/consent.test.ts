import { createMemoryConsentLedger } from "@polder/core/contracts";
import { LogUnavailableError, type ConsentLedger } from "@polder/core";
import { buildConsent, buildEvent } from "@polder/testing";
import { purposes, type PolderEvent, type Purpose } from "@polder/protocol";
import { describe, expect, it } from "vitest";
import {
  answerOf,
  buildCollector,
  createRecordingLog,
  shopOrigin,
  writeKey,
  type TestCollector,
} from "./collector.test-support.ts";

const asked = purposes.slice(1);
const at = (second: number): string => `2026-11-22T20:14:${String(second).padStart(2, "0")}.000Z`;
const stamp = (granted: readonly Purpose[], second: number) =>
  buildConsent([], {
    id: `choice-${second}`,
    at: at(second),
    purposes: Object.fromEntries(
      asked.map((purpose) => [purpose, granted.includes(purpose) ? "granted" : "withdrawn"]),
    ),
  });
type Stamp = ReturnType<typeof stamp>;
let made = 0;
const event = (consent: Stamp, overrides: Partial<PolderEvent> = {}): PolderEvent =>
  buildEvent({ messageId: `m${++made}`, context: { ...buildEvent().context, consent }, ...overrides });
const choice = (consent: Stamp, overrides: Partial<PolderEvent> = {}): PolderEvent =>
  event(consent, { type: "consent", timestamp: consent.at!, ...overrides });

const everything = stamp(asked, 1);
const nothing = stamp([], 2);
const forged = stamp(asked, 50);

const post = (to: TestCollector, ...batch: object[]): Promise<Response> =>
  to.post("/v1/batch", { writeKey, batch }, { origin: shopOrigin });
const tracked = ({ log }: TestCollector) => log.rows().filter((row) => row.type !== "consent");
const metric = async ({ collector }: TestCollector, name: string): Promise<string[]> =>
  (await (await collector.app.request("/metrics")).text()).split("\n").filter((line) => line.startsWith(name));

describe("a recorded choice", () => {
  it("stops what claims more: nothing of a forged event is stored, and it is counted apart", async () => {
    const built = buildCollector();
    await post(built, choice(everything), event(everything));
    await post(built, choice(nothing));
    expect(tracked(built)).toHaveLength(1);
    for (const claimed of [everything, forged]) {
      const answer = await answerOf(await post(built, event(claimed)));
      expect(answer).toMatchObject({ accepted: 0, rejected: [{ index: 0, reason: "consent_withdrawn" }] });
    }
    expect(tracked(built)).toHaveLength(1);
    expect(await metric(built, "polder_collector_events_dropped_total")).toEqual([
      'polder_collector_events_dropped_total{site="shop",reason="consent_withdrawn"} 2',
    ]);
    expect(await metric(built, "polder_collector_choices_recorded_total")).toEqual([
      'polder_collector_choices_recorded_total{site="shop"} 2',
    ]);
  });

  it("takes the purpose from what claims more, which is counted too", async () => {
    const built = buildCollector();
    await post(built, choice(stamp(["measurement"], 2)));
    await post(built, event(forged));
    expect(tracked(built)).toMatchObject([{ consent_mask: 3 }]);
    for (const secret of ["visitor-1", "session-1", forged.id])
      expect(JSON.stringify(tracked(built))).not.toContain(secret);
    expect(await metric(built, 'polder_collector_repairs_total{repair="consent_narrowed"}')).toEqual([
      'polder_collector_repairs_total{repair="consent_narrowed"} 1',
    ]);
  });

  it("is heard while it is still being written: an event whose body comes later is judged by it", async () => {
    let write = (): void => {};
    const written = new Promise<void>((resolve) => (write = resolve));
    const memory = createMemoryConsentLedger();
    const ledger: ConsentLedger = {
      ...memory,
      // As the adapters do: known at once, durable later.
      record: async (choices) => {
        const known = memory.record(choices);
        await written;
        return known;
      },
    };
    const built = buildCollector({ ledger });
    let finish = (): void => {};
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        const text = JSON.stringify({ writeKey, batch: [event(everything)] });
        controller.enqueue(Buffer.from(text.slice(0, 200)));
        finish = () => {
          controller.enqueue(Buffer.from(text.slice(200)));
          controller.close();
        };
      },
    });
    const inFlight = built.collector.app.request("/v1/batch", {
      method: "POST",
      body,
      headers: { "content-type": "text/plain", origin: shopOrigin },
      duplex: "half",
    } as RequestInit);
    let isAnswered = false;
    const withdrawing = post(built, choice(nothing)).then((response) => {
      isAnswered = true;
      return response;
    });
    finish();
    expect(await answerOf(await inFlight)).toMatchObject({ accepted: 0, rejected: [{ reason: "consent_withdrawn" }] });
    // The withdrawal itself is answered when it is durable, and not before.
    expect(isAnswered).toBe(false);
    write();
    expect((await withdrawing).status).toBe(200);
    expect(tracked(built)).toEqual([]);
  });

  it("is answered 503 when it could not be recorded, so that it is sent again", async () => {
    const memory = createMemoryConsentLedger();
    let isAway = true;
    const ledger: ConsentLedger = {
      ...memory,
      record: (choices) =>
        isAway ? Promise.reject(new LogUnavailableError("the disk is full")) : memory.record(choices),
    };
    const built = buildCollector({ ledger });
    expect((await post(built, choice(nothing))).status).toBe(503);
    isAway = false;
    expect((await post(built, choice(nothing))).status).toBe(200);
    expect((await answerOf(await post(built, event(forged)))).accepted).toBe(0);
  });

  it("is answered 202 while other collectors cannot be told", async () => {
    const memory = createMemoryConsentLedger();
    const ledger: ConsentLedger = { ...memory, record: async (choices) => (await memory.record(choices), "spooled") };
    const built = buildCollector({ ledger });
    expect((await post(built, choice(nothing))).status).toBe(202);
    expect((await post(built, event(stamp(["measurement"], 3), { anonymousId: "other" }))).status).toBe(200);
  });

  it("keeps the body of a refused event out of the table of refusals", async () => {
    const built = buildCollector();
    await post(built, choice(nothing));
    const broken = (consent: Stamp, anonymousId: unknown) => ({
      ...event(consent),
      anonymousId,
      event: "x".repeat(300),
    });
    const unreadable = ["v".repeat(5000), ["visitor-1"], { id: "visitor-1" }, 2 ** 60];
    const joining = { ...broken(forged, "visitor-3"), type: "alias", userId: ["x"], previousId: "visitor-1" };
    const naming = { ...broken(forged, "visitor-3"), previousId: "visitor-1" };
    await post(
      built,
      broken(forged, "visitor-1"),
      broken(forged, "visitor-2"),
      ...unreadable.map((id) => broken(forged, id)),
      joining,
      naming,
    );
    const [known, unknown, ...others] = built.log.rejectedRows();
    expect(others).toHaveLength(unreadable.length + 2);
    for (const row of others) expect(row).toMatchObject({ body: "", name: "", message_id: "" });
    expect(known).toMatchObject({ reason: "name_too_long", body: "" });
    expect(unknown!.body).toContain("visitor-2");
    expect(unknown!.message_id).toMatch(/^m\d/);
    expect(JSON.stringify(known)).not.toContain("visitor-1");
  });

  it("gives no cookie to a device whose visitor said no, and takes it away for one that is late with a yes", async () => {
    const built = buildCollector({ log: createRecordingLog() });
    const cookies = async (...batch: object[]): Promise<string[]> =>
      (
        await built.post(
          "/v1/batch",
          { writeKey, batch },
          { origin: "https://shop.example", host: "shop.example", cookie: "polder_id=visitor-1.x" },
        )
      ).headers.getSetCookie();
    expect(await cookies(choice(nothing))).toEqual([
      expect.stringContaining("Max-Age=0"),
      expect.stringContaining("Max-Age=0"),
    ]);
    expect(await cookies(event(forged))).toEqual([]);
    expect(await cookies(choice(everything))).toEqual([
      expect.stringContaining("Max-Age=0"),
      expect.stringContaining("Max-Age=0"),
    ]);
  });
});

it("takes nothing, not even a choice, as long as it does not know what visitors chose", async () => {
  let missing: string | undefined = "the record is being read";
  const built = buildCollector({ notReady: () => missing });
  const readiness = async () => (await built.collector.app.request("/readyz")).status;
  for (const batch of [[event(everything)], [choice(nothing)]]) {
    const answer = await post(built, ...batch);
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("2");
    expect(await answer.json()).toMatchObject({ code: "starting", message: expect.stringContaining(missing) });
  }
  const pixel = await built.collector.app.request(`/v1/pixel.gif?writeKey=${writeKey}&event=Opened`);
  expect(pixel.headers.get("x-polder-result")).toBe("starting");
  expect(built.log.appends).toEqual([]);
  expect(await readiness()).toBe(503);
  expect((await built.collector.app.request("/livez")).status).toBe(200);
  missing = undefined;
  expect(await readiness()).toBe(200);
  expect((await post(built, event(everything))).status).toBe(200);
});
