import { expect, test } from "@playwright/test";
import { serve, type Listening } from "../support/listen.ts";
import { mark, startClients, type Clients } from "../torture/clients.ts";
import type { Installation } from "../torture/installation.ts";
import { judgeCourse, judgeGrowth, judgeIds, judgeLedger, judgePeaks, memoryBounds } from "../torture/judge.ts";
import { watchMemory } from "../torture/memory.ts";
import { judgeEnd } from "../torture/part.ts";
import { report } from "../torture/run-torture.ts";
import { nodeVictim, type KafkaNode } from "../torture/scaled-out.ts";
import { planFaults, type Target } from "../torture/schedule.ts";

// The torture test is worth what its judges see: each is shown here what it must not let pass.

const known = (marks: number[], told: Partial<Clients["told"]> = {}, heard: [string, number][] = []): Clients => ({
  marks: [marks],
  heard: new Map(heard),
  told: { repeated: 0, rejected: 0, dropped: 0, ...told },
  accepted: () => marks.filter((seen) => seen & mark.accepted).length,
  finish: async () => {},
});

test.describe("memory", () => {
  const minute = 60_000;
  /** A process that is looked at once a second. */
  const watched = (
    seconds: number,
    ownMiB: (second: number) => number | undefined,
    pid: (second: number) => number = () => 1,
  ) => {
    let second = 0;
    const memory = watchMemory([{ name: "part", pid: () => pid(second) }], {
      now: () => second * 1_000,
      read() {
        const own = ownMiB(second);
        return own === undefined ? undefined : { residentMiB: own + 50, ownMiB: own };
      },
    });
    for (; second < seconds; second++) memory.look();
    memory.stop();
    return memory.growth(30_000);
  };

  test("counts a peak of a life that was too short for anything else", () => {
    const growth = watched(5, (second) => (second === 1 ? memoryBounds.peakMiB : 100));
    expect(judgePeaks(growth).faults).toEqual([`part had ${memoryBounds.peakMiB + 50} MiB`]);
  });

  test("is at fault where nothing was seen of it", () => {
    expect(judgePeaks(watched(60, () => undefined)).faults).toEqual(["nothing was seen of the memory of part"]);
  });

  test("is not called flat when no life was long enough to tell", () => {
    const growth = watched(120, () => 100);
    expect(judgePeaks(growth).faults).toEqual([]);
    const verdict = judgeGrowth(growth);
    expect(verdict.faults).toEqual([]);
    expect(verdict.notJudged).toContain("part");
    expect(report([verdict])).not.toContain("✓");
    // A new process every ten seconds never says anything of growth.
    const restarted = watched(
      3_600,
      () => 100,
      (second) => Math.floor(second / 10),
    );
    expect(judgeGrowth(restarted).notJudged).toContain("part");
  });

  test("grows a little in a short while, and not by as much a minute for long", () => {
    const leak = (minutes: number) => watched((minutes * minute) / 1_000, (second) => 100 + (second * 2) / 60);
    expect(judgeGrowth(leak(6))).toMatchObject({ faults: [] });
    expect(judgeGrowth(leak(6)).notJudged).toBeUndefined();
    expect(judgeGrowth(leak(15)).faults).toEqual(["part grew by 29.0 MiB in 14.5 minutes"]);
    // A sawtooth, as of a heap that is collected, is flat.
    expect(judgeGrowth(watched(900, (second) => 100 + (second % 40))).faults).toEqual([]);
  });
});

test.describe("the schedule", () => {
  const kill = { kind: "kill", weight: 1, minMs: 0, maxMs: 1_000 } as const;
  const freeze = { kind: "freeze", weight: 5, minMs: 0, maxMs: 1_000 } as const;
  const targets: Target[] = [
    ...["a", "b", "c", "d", "e"].map((name) => ({ name, isMeasured: true, faults: [kill, freeze] })),
    { name: "never killed", isMeasured: false, faults: [freeze] },
  ];

  test("kills everything that can be killed in the shortest run, whatever the seed, spread over it", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const options = { seed, durationMs: 15_000, everyMs: 1_500, targets, measuredFromMs: 15_000 };
      const planned = planFaults(options);
      expect(planFaults(options)).toEqual(planned);
      const sure = planned.filter(({ kind, isEarly }) => kind === "kill" && !isEarly);
      expect(new Set(sure.map(({ target }) => target)), `seed ${seed}`).toEqual(new Set(["a", "b", "c", "d", "e"]));
      expect(planned.map(({ atMs }) => atMs)).toEqual(planned.map(({ atMs }) => atMs).toSorted((a, b) => a - b));
      for (const from of [0, 3_000, 6_000, 9_000, 12_000])
        expect(sure.some(({ atMs }) => atMs >= from && atMs < from + 3_000)).toBe(true);
    }
  });

  test("kills nothing that is measured while it is measured", () => {
    const planned = planFaults({ seed: 1, durationMs: 600_000, everyMs: 1_500, targets, measuredFromMs: 300_000 });
    expect(planned.filter(({ kind, atMs }) => kind === "kill" && atMs > 300_000)).toEqual([]);
    expect(planned.filter(({ atMs }) => atMs > 300_000).length).toBeGreaterThan(100);
  });

  test("is at fault when a part was not killed, an answer never heard, or nothing ever doubled", () => {
    const kills = new Map([
      ["a", 1],
      ["b", 0],
    ]);
    const expected = ["200", "202"];
    expect(judgeCourse({ kills, expected }, known([], {}, [["202", 9]])).faults).toEqual([
      "b was never killed",
      "clients never heard 200",
      "no event was accepted twice, so nothing had to be recognised",
    ]);
    const heard: [string, number][] = [
      ["200", 1],
      ["202", 1],
    ];
    expect(judgeCourse({ kills: new Map([["a", 1]]), expected }, known([], { repeated: 1 }, heard)).faults).toEqual([]);
  });
});

test.describe("clients", () => {
  const servers: Listening[] = [];
  test.afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
  });

  type Sent = { messageId: string; context: { consent?: { purposes: { measurement: string } } } };
  /** One client against a server that answers so, until it has asked that often. */
  async function clientOf(
    answer: (batch: Sent[], request: number) => { status: number; body: string; isCut?: boolean },
    requests: number,
  ): Promise<Clients> {
    let count = 0;
    let isEnough!: () => void;
    const enough = new Promise<void>((resolve) => (isEnough = resolve));
    const server = await serve(async (request, response) => {
      let text = "";
      for await (const chunk of request) text += String(chunk);
      const { status, body, isCut } = answer((JSON.parse(text) as { batch: Sent[] }).batch, count++);
      if (count >= requests) isEnough();
      response.writeHead(status, { "content-length": Buffer.byteLength(body) + (isCut ? 1 : 0), "retry-after": "0" });
      if (isCut) response.write(body, () => response.destroy());
      else response.end(body);
    });
    servers.push(server);
    const clients = startClients({
      seed: 1,
      count: 1,
      urls: [server.origin],
      writeKey: "key",
      origin: "http://shop.test",
      thinkMs: 0,
    });
    await enough;
    await clients.finish();
    return clients;
  }
  const takeAll = (batch: Sent[]) => ({ status: 200, body: JSON.stringify({ accepted: batch.length, rejected: [] }) });
  const refuse = (batch: Sent[], reason: (event: Sent) => string | undefined) => {
    const rejected = batch.flatMap((event, index) => (reason(event) ? [{ index, reason: reason(event) }] : []));
    return { status: 200, body: JSON.stringify({ accepted: batch.length - rejected.length, rejected }) };
  };

  for (const status of [500, 400, 408])
    test(`tell of a ${status} without JSON, and of one that is cut off`, async () => {
      const clients = await clientOf((batch, request) => {
        if (request === 0) return { status, body: "<html>oops" };
        return request === 1 ? { status, body: "{", isCut: true } : takeAll(batch);
      }, 5);
      expect(clients.heard.get(String(status))).toBe(2);
      expect(clients.heard.has("cut")).toBe(false);
    });

  test("take a 200 that is cut off for no answer, and send again what it was about", async () => {
    const asked: string[][] = [];
    const clients = await clientOf((batch, request) => {
      asked.push(batch.map(({ messageId }) => messageId));
      return request === 0 ? { ...takeAll(batch), isCut: true } : takeAll(batch);
    }, 3);
    expect(clients.heard.get("cut")).toBe(1);
    expect(asked[1]).toEqual(asked[0]);
  });

  test("blame a drop for want of consent that an event has, and no other", async () => {
    const nothing: Installation = { query: async () => [{ n: 0 }] } as never;
    const right = await clientOf(
      (batch) => refuse(batch, ({ context }) => (context.consent ? undefined : "no_consent")),
      60,
    );
    expect(right.told.dropped).toBeGreaterThan(0);
    expect((await judgeIds(nothing, right)).faults.filter((fault) => fault.startsWith("dropped"))).toEqual([]);
    let given: string | undefined;
    const wrong = await clientOf(
      (batch) =>
        refuse(batch, ({ messageId, context }) => {
          if (context.consent) given ??= messageId;
          return messageId === given || !context.consent ? "no_consent" : undefined;
        }),
      60,
    );
    expect((await judgeIds(nothing, wrong)).faults.filter((fault) => fault.startsWith("dropped"))).toEqual([
      `dropped for want of consent, which it has, 1: ${given}`,
    ]);
  });
});

test.describe("the ledger", () => {
  const accepted = mark.sent | mark.accepted;
  const judged = async (sums: object, clients: Clients): Promise<readonly string[]> => {
    const balanced = { received: 0, stored: 0, rejected: 0, duplicate: 0, dropped: 0, in_flight: 0, off: 0, rows: 0 };
    const installation = { query: async () => [{ ...balanced, ...sums }] } as never;
    return (await judgeLedger(installation, clients, 0)).faults;
  };

  test("is not right because it balances: rows that nobody has, and rows that are there twice", async () => {
    const clients = known([accepted, accepted, accepted, mark.sent | mark.rejected], { repeated: 2, rejected: 1 });
    const whole = { received: 6, stored: 3, rows: 3, duplicate: 2, rejected: 1 };
    expect(await judged(whole, clients)).toEqual([]);
    expect(await judged({ ...whole, received: 5, stored: 2, rows: 2 }, clients)).toEqual([
      "2 stored by the ledger, 3 accepted as clients were told (0 unsure)",
    ]);
    expect(await judged({ ...whole, received: 6, stored: 5, rows: 5, duplicate: 0 }, clients)).toEqual([
      "5 stored by the ledger, 3 accepted as clients were told (0 unsure)",
      "0 duplicates in the ledger, and clients were told of 2",
    ]);
  });

  test("may hold one that was stored unheard and dropped when it came again", async () => {
    const clients = known([accepted, mark.sent | mark.dropped | mark.mayBeDropped], { dropped: 1 });
    expect(await judged({ received: 3, stored: 2, rows: 2, dropped: 1 }, clients)).toEqual([]);
    expect(await judged({ received: 4, stored: 3, rows: 3, dropped: 1 }, clients)).toHaveLength(1);
  });
});

test.describe("a process that ends by itself", () => {
  const line = (level: string, message: string): string =>
    `${JSON.stringify({ time: "", level, name: "loader", message })}\n`;
  const end = {
    wasReady: false,
    code: 1,
    signal: null,
    speaks: "json" as const,
    tails: [line("error", "ClickHouse does not answer"), ""],
  };
  const uncaught = "node:internal\n\nError: it broke\n    at main.ts:1:1\n\nNode.js v20.20.0\n";

  test("refused to start when it says so", () => {
    expect(judgeEnd(end)).toEqual({
      isRefusal: true,
      lastWords: expect.stringContaining("ClickHouse does not answer"),
    });
  });

  test("crashed when it was ready, when it says nothing, when nobody caught its error, or when it was shot", () => {
    expect(judgeEnd({ ...end, wasReady: true }).isRefusal).toBe(false);
    expect(judgeEnd({ ...end, tails: ["", ""] }).isRefusal).toBe(false);
    expect(judgeEnd({ ...end, tails: [line("info", "the loader runs"), ""] }).isRefusal).toBe(false);
    expect(judgeEnd({ ...end, tails: [end.tails[0]!, uncaught] }).isRefusal).toBe(false);
    expect(judgeEnd({ ...end, tails: ["", uncaught] }).lastWords).toContain("it broke");
    expect(judgeEnd({ ...end, code: null, signal: "SIGABRT" }).isRefusal).toBe(false);
    expect(judgeEnd({ ...end, code: 0 }).isRefusal).toBe(false);
  });

  test("may say it to people, in a sentence and not in a stack", () => {
    const said = (text: string) =>
      judgeEnd({ ...end, speaks: "text", tails: ["Polder\n  ✗ Tables and views\n", text] });
    expect(said("ClickHouse went away. Start it again.\n").isRefusal).toBe(true);
    expect(said("polder start failed: Error: connect ECONNREFUSED\n    at net.js:1:1\n").isRefusal).toBe(false);
    expect(said("polder start failed: TypeError: x is not a function\n").isRefusal).toBe(false);
    expect(said(uncaught).isRefusal).toBe(false);
  });
});

test("a node of Kafka that is killed while it starts is nobody's fault, and one that does not start is", async () => {
  const failStart: ((error: Error) => void)[] = [];
  const node: KafkaNode = {
    async kill() {
      failStart.at(-1)?.(new Error("the broker ended while it started"));
    },
    start: () => new Promise((_, reject) => failStart.push(reject)),
    async pause() {},
    async resume() {},
  };
  const victim = nodeVictim(node);
  await victim.kill!();
  const first = victim.start();
  await victim.kill!();
  await first;
  expect(victim.isUp!()).toBe(false);
  const second = victim.start();
  expect(failStart).toHaveLength(2);
  failStart[1]!(new Error("no room on the disk"));
  await expect(second).rejects.toThrow("no room on the disk");
});
