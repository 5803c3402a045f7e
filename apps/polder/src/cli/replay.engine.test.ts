import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, createReplayStore, createStateRebuild, type ClickHouse } from "@polder/clickhouse";
import { createReplayJudge } from "@polder/collector";
import { createSiteDirectory, parseConfig, type LogRecord } from "@polder/core";
import { startEngine } from "@polder/engine";
import { createLmdbLog } from "@polder/lmdb";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFakeContext, type FakeContext } from "./fake-context.ts";
import { createReplayer } from "./replay-events.ts";
import { openStage } from "./replay-stage.ts";
import { readSettings } from "../settings.ts";
import { runCli } from "./run-cli.ts";

const logger = { info() {}, warn() {}, error() {} };
const receivedAt = "2026-11-22 12:00:00.000";
const day = ["--from", "2026-11-22", "--to", "2026-11-23"];
let cwd = "";

const configText = JSON.stringify({
  sites: [
    {
      id: "shop",
      name: "Shop",
      timezone: "UTC",
      origins: ["https://shop.example"],
      writeKeys: [
        { key: "pk_shop_0000000001" },
        {
          key: "pk_shop_elsewhere_01",
          basis: {
            purposes: ["measurement", "profile"],
            basis: "consent_elsewhere",
            reason: "The banner of the site.",
          },
        },
      ],
    },
  ],
});

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-replay-"));
  await writeFile(join(cwd, "polder.config.json"), configText);
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

/** A yes ends a year after it was said. */
const now = (): Date => new Date("2026-11-23T12:00:00Z");

async function run(...args: string[]): Promise<{ code: number; context: FakeContext; counts: string[] }> {
  const context = { ...createFakeContext({ cwd }), now };
  const code = await runCli(["replay", ...args], context);
  const counts = context
    .printed()
    .split("\n")
    .filter((line) => /^ +\d/.test(line))
    .map((line) => line.trim().replace(/ {2,}/, " "));
  return { code, context, counts };
}

/** Appends as a collector that is stopped again. */
async function append(topic: "polder.events" | "polder.rejected", records: readonly LogRecord[]): Promise<void> {
  const log = createLmdbLog({ path: join(cwd, ".polder", "log"), logger });
  await log.append(topic, records);
  await log.close();
}

/** The engine of the stopped Polder. */
async function withTables<T>(work: (clickhouse: ClickHouse) => Promise<T>): Promise<T> {
  const engine = await startEngine({ dataPath: join(cwd, ".polder", "clickhouse"), logger });
  const clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
  try {
    return await work(clickhouse);
  } finally {
    await clickhouse.close();
    await engine.stop();
  }
}
const query = <Row>(sql: string): Promise<Row[]> => withTables((clickhouse) => clickhouse.query<Row>(sql));

const consent = {
  v: 1,
  id: "choice-1",
  at: "2026-11-22T11:59:00.000Z",
  purposes: { measurement: "granted", profile: "granted" },
};
const sentEvent = (id: string, fields: object = {}): object => ({
  type: "track",
  event: "Product Viewed",
  messageId: id,
  timestamp: "2026-11-22T11:59:58.000Z",
  sentAt: "2026-11-22T11:59:59.000Z",
  anonymousId: `visitor-${id}`,
  context: { consent },
  ...fields,
});
function refusal(id: string, body: string, reason = "invalid_field"): LogRecord {
  const row = {
    site: "shop",
    received_at: receivedAt,
    message_id: id,
    type: "track",
    name: "Product Viewed",
    reason,
    detail: "an older rule",
    body,
    rule_version: 1,
  };
  return {
    key: id || "none",
    value: Buffer.from(JSON.stringify(row)),
    headers: { id: id || "none", site: "shop", anonymousId: "", userId: "" },
  };
}
function event(id: string, fields: object = {}): LogRecord {
  const row = {
    site: "shop",
    day: "2026-11-22",
    type: "track",
    name: "Product Viewed",
    time: receivedAt,
    received_at: receivedAt,
    message_id: id,
    anonymous_id: `visitor-${id}`,
    consent_mask: 7,
    basis: "consent",
    ...fields,
  };
  return {
    key: `shop:visitor-${id}`,
    value: Buffer.from(JSON.stringify(row)),
    headers: { id, site: "shop", anonymousId: `visitor-${id}`, userId: "" },
  };
}

describe("polder replay --from-rejected", () => {
  const stored = () =>
    query<{ message_id: string; received_at: string; time: string; bot: string; n: number }>(
      "SELECT message_id, any(toString(e.received_at)) AS received_at, any(toString(e.time)) AS time, any(bot) AS bot, count() AS n FROM events AS e GROUP BY message_id ORDER BY message_id",
    );

  it("stores what the rules of today let through, once, at its own time, and says what became of the rest", async () => {
    await append("polder.events", [event("known")]);
    await append("polder.rejected", [
      refusal("mended-1", JSON.stringify(sentEvent("mended-1"))),
      refusal("mended-1", JSON.stringify(sentEvent("mended-1"))),
      refusal("", JSON.stringify(sentEvent("", { anonymousId: "nobody-named-it" }))),
      refusal("known", JSON.stringify(sentEvent("known"))),
      refusal("no-consent", JSON.stringify(sentEvent("no-consent", { context: {} }))),
      refusal("still-bad", JSON.stringify(sentEvent("still-bad", { event: undefined })), "name_missing"),
      refusal("cut", JSON.stringify(sentEvent("cut")).slice(0, 60)),
      refusal("not-kept", ""),
    ]);
    const dry = await run(...day, "--from-rejected", "--dry-run");
    expect(dry.context.complained()).toBe("");
    const rest = [
      "1 left out, only the beginning of it was kept",
      "1 left out, not allowed now (no_consent)",
      "1 left out, nothing of it was kept, since its sender had not allowed that",
      "1 left out, refused again (name_missing)",
    ];
    expect(dry.counts).toEqual([
      "8 refused events, not replayed before",
      "2 would be stored",
      "2 in the tables already",
      ...rest,
    ]);
    expect(await stored()).toHaveLength(1);

    const first = await run(...day, "--from-rejected");
    expect(first.code).toBe(0);
    expect(first.counts).toEqual([
      "8 refused events, not replayed before",
      "2 stored now",
      "2 in the tables already",
      ...rest,
    ]);
    const rows = await stored();
    expect(rows.map(({ message_id, n }) => [message_id, n])).toEqual([
      ["known", 1],
      ["mended-1", 1],
      ["replay:0:2", 1],
    ]);
    expect(rows[1]).toMatchObject({ received_at: receivedAt, time: "2026-11-22 11:59:59.000", bot: "" });

    const again = await run(...day, "--from-rejected");
    expect(again.counts).toEqual([
      "4 refused events, not replayed before",
      "0 stored now",
      "0 in the tables already",
      ...rest,
    ]);
    expect(await stored()).toEqual(rows);
    expect(await query("SELECT sum(events) AS n FROM profile_state")).toEqual([{ n: 3 }]);
    expect(await query("SELECT outcome, count() AS n FROM replayed GROUP BY outcome ORDER BY outcome")).toEqual([
      { outcome: "known", n: 2 },
      { outcome: "stored", n: 2 },
    ]);
  });

  it("takes those of one reason, site and time alone, and judges them as another key's when told", async () => {
    await append("polder.rejected", [
      refusal("a", JSON.stringify(sentEvent("a", { context: {} })), "too_deep"),
      refusal("b", JSON.stringify(sentEvent("b"))),
    ]);
    const early = await run("--from", "2026-11-21", "--to", "2026-11-22T12:00:00Z", "--from-rejected");
    expect(early.counts[0]).toBe("0 refused events, not replayed before");
    const strict = await run(...day, "--from-rejected", "--reason", "too_deep");
    expect(strict.counts).toContain("1 left out, not allowed now (no_consent)");
    const keyed = await run(
      ...day,
      "--from-rejected",
      "--reason",
      "too_deep",
      "--key",
      "pk_shop_elsewhere_01",
      "--site",
      "shop",
    );
    expect(keyed.counts).toContain("1 stored now");
    expect((await stored()).map(({ message_id }) => message_id)).toEqual(["a"]);
  });

  it("says what ClickHouse refuses again, and tries it again the next time", async () => {
    await append("polder.events", [event("bad", { bot_score: "high" }), event("good")]);
    const first = await run(...day, "--from-rejected");
    expect(first.code).toBe(1);
    expect(first.counts).toEqual([
      "1 refused events, not replayed before",
      "0 stored now",
      "0 in the tables already",
      "1 appended to the log and not in the tables: see the table rejected, and run this again",
    ]);
    await withTables((clickhouse) => clickhouse.command("ALTER TABLE events MODIFY COLUMN bot_score String"));
    const mended = await run(...day, "--from-rejected");
    expect(mended).toMatchObject({ code: 0 });
    expect((await stored()).map(({ message_id, n }) => [message_id, n])).toEqual([
      ["bad", 1],
      ["good", 1],
    ]);
  });

  it("goes on where it was stopped, without doing anything twice", async () => {
    await append(
      "polder.rejected",
      Array.from({ length: 30 }, (_, n) => refusal(`m${n}`, JSON.stringify(sentEvent(`m${n}`)))),
    );
    const parsed = parseConfig(configText);
    if (!parsed.ok) throw new Error("the configuration is wrong");
    const context = { ...createFakeContext({ cwd }), now };
    for (const dies of ["after the append", "after loading", undefined]) {
      const stage = await openStage(readSettings({ flags: {}, env: {}, cwd }), context);
      const { ledger, allLoaded, ...pipeline } = await stage.openPipeline(parsed.config, { isDryRun: false });
      let loads = 0;
      const die = (): never => {
        throw new Error("killed");
      };
      const replayer = createReplayer({
        ...pipeline,
        states: createStateRebuild(stage.clickhouse),
        ledger,
        judge: createReplayJudge({ sites: createSiteDirectory(parsed.config), ledger, now: () => now().getTime() }),
        allLoaded: () => (++loads === 2 && dies === "after the append" ? die() : allLoaded()),
        store: { ...createReplayStore(stage.clickhouse), ...(dies === "after loading" && { mark: die }) },
        say: () => {},
      });
      const range = { from: new Date("2026-11-22"), to: new Date("2026-11-23"), isDryRun: false };
      const counts = await replayer.fromRejected(range).catch(() => undefined);
      await stage.close();
      if (dies === undefined) expect(counts).toMatchObject({ read: 30, stored: 0, known: 30, missing: 0 });
      else expect(counts).toBeUndefined();
    }
    expect(await query("SELECT count() AS n, uniqExact(message_id) AS ids FROM events")).toEqual([{ n: 30, ids: 30 }]);
  });
});

describe("polder replay, from the log", () => {
  it("stores the rows that the table lacks and no others, as often as it is run, and counts each once", async () => {
    const hour = Math.floor(Date.parse("2026-11-22T12:00:00Z") / 3_600_000).toString(36);
    // As a collector numbers what comes.
    const sent = (id: string, number: number, fields: object = {}): LogRecord => {
      const made = event(id, { session_id: `session-${id}`, session_start: receivedAt, ...fields });
      return { ...made, headers: { ...made.headers, arrival: `p.${hour}.${number.toString(36)}` } };
    };
    const ids = Array.from({ length: 50 }, (_, n) => `m${n}`);
    await append("polder.events", [
      ...ids.map((id, n) => sent(id, n)),
      sent("m3", 50),
      sent("bad", 51, { amount: "a lot" }),
    ]);
    expect((await run(...day)).counts).toEqual([
      "52 events in the log",
      "0 stored now",
      "51 in the tables already",
      "1 left out, refused again (refused_by_store)",
    ]);
    await withTables((clickhouse) =>
      clickhouse.command("ALTER TABLE events DELETE WHERE _offset >= 10 AND _offset < 20 SETTINGS mutations_sync = 2"),
    );
    const dry = await run(...day, "--dry-run");
    expect(dry.counts).toContain("10 would be stored");
    expect(dry.context.printed()).not.toContain("made anew");
    const first = await run(...day);
    expect(first).toMatchObject({ code: 0 });
    expect(first.counts.slice(0, 3)).toEqual(["52 events in the log", "10 stored now", "41 in the tables already"]);
    expect(first.context.printed()).toContain("made anew, for the weeks that begin on 2026-11-16.");
    const second = await run(...day);
    expect(second.counts.slice(0, 3)).toEqual(["62 events in the log", "0 stored now", "61 in the tables already"]);
    expect(second.context.printed()).not.toContain("made anew");
    expect(
      await query(
        `SELECT count() AS n, uniqExact(message_id) AS ids, uniqExact(e.received_at) AS times,
           (SELECT sum(events) FROM profile_state) AS inProfiles, (SELECT sum(events) FROM session_state) AS inVisits,
           (SELECT sum(events) FROM audience_day WHERE dimension = 'event') AS inDays,
           (SELECT sum(stored) FROM loss_ledger) AS counted, (SELECT sum(abs(difference)) FROM loss_ledger) AS off
         FROM events AS e`,
      ),
    ).toEqual([{ n: 50, ids: 50, times: 1, inProfiles: 50, inVisits: 50, inDays: 50, counted: 50, off: 0 }]);
  });
});

describe("polder replay accept-gap", () => {
  it("lists what is lost, takes the loss, and then has nothing to list", async () => {
    await append("polder.events", [event("a")]);
    await run(...day);
    await withTables((clickhouse) =>
      clickhouse.insertRows("log_gap", [
        { topic: "polder.events", _partition: 3, first_offset: 10, last_offset: 19, state: "found" },
        { topic: "polder.events", _partition: 4, first_offset: 1, last_offset: 1, state: "found" },
      ]),
    );
    const listed = await run("gaps");
    expect(listed.context.printed()).toContain(
      "partition 3: records 10 to 19 (10) left the log before they were loaded",
    );
    const accepted = await run("accept-gap", "--partition", "3");
    expect(accepted.context.printed()).toContain("(10) left the log before they were loaded: accepted");
    expect(accepted.context.printed()).not.toContain("partition 4");
    await run("accept-gap");
    expect((await run("gaps")).context.printed()).toContain("No records are missing");
  });
});

describe("polder replay refuses", () => {
  it.each([
    [[], "Say from when"],
    [["--from", "yesterday"], "--from is not a time"],
    [["--from", "2026-11-23", "--to", "2026-11-22"], "--from has to be before --to"],
    [["--from", "2026-11-22", "--reason", "too_deep"], "belong to --from-rejected"],
    [["everything"], "There is no “replay everything”"],
    [["accept-gap", "--partition", "all"], "--partition is not a number"],
    [["--from", "2026-11-22", "--site", "blog"], "There is no site blog"],
    [["--from", "2026-11-22", "--from-rejected", "--key", "pk_nobody_0000000001"], "Nobody in"],
  ])("%j", async (args, complaint) => {
    const { code, context } = await run(...args);
    expect(code).not.toBe(0);
    expect(context.complained()).toContain(complaint);
  });
});
