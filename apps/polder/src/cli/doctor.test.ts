import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseConfig } from "@polder/core";
import { dropReasons } from "@polder/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
// @boundaries-ignore a port at which nothing listens
import { freePorts } from "../../../../scripts/free-ports.mjs";
import { readSettings } from "../settings.ts";
import { checkConsent, examine, verdict, type Finding } from "./doctor.ts";
import { whereOnTheWay } from "./doctor-where.ts";
import type { Count } from "./read-counts.ts";

let folder = "";
/** However slow this machine is: nothing here takes too long but what a test lets take too long. */
const timeout = (): AbortSignal => new AbortController().signal;
const servers: Server[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polder-doctor-"));
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(folder, { recursive: true, force: true });
});

const site = {
  id: "shop",
  name: "Shop",
  timezone: "UTC",
  origins: ["https://shop.example"],
  writeKeys: [{ key: "pk_12345678" }],
};
const configOf = (change: object) => {
  const result = parseConfig(JSON.stringify({ sites: [{ ...site, ...change }] }));
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
};

const serve = async (answer: (path: string, body: string) => { status?: number; text: string }): Promise<number> => {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { status = 200, text } = answer(request.url ?? "", body);
      response.writeHead(status).end(text);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
};

/** A healthy installation, but for what is given. */
const installation = async (
  faults: {
    collector?: number;
    lag?: number;
    clockMs?: number;
    refused?: number;
    tables?: boolean;
    config?: string;
    metrics?: string;
    ledger?: string | Error;
    kafka?: boolean;
  } = {},
) => {
  const now = new Date("2026-11-22T12:00:00Z");
  const lag = `# HELP polder_log_lag_records x\npolder_log_lag_records{topic="polder.events"} ${faults.lag ?? 3}\npolder_log_lag_seconds 1.2\n`;
  const collector = await serve((path) =>
    path === "/metrics"
      ? { text: `${faults.kafka ? "" : lag}${faults.metrics ?? ""}` }
      : { status: faults.collector ?? 200, text: faults.collector === 503 ? "the log cannot be reached\n" : "ok\n" },
  );
  const api = await serve(() => ({ text: "ok\n" }));
  const sql = await serve((_, body) => {
    if (body.includes("version()")) return { text: `26.7.2.1\t${now.getTime() + (faults.clockMs ?? 0)}\n` };
    if (body.includes("loss_balance"))
      return faults.ledger instanceof Error
        ? { status: 500, text: faults.ledger.message }
        : { text: faults.ledger ?? "" };
    return faults.tables === false
      ? { status: 404, text: "Code: 60. DB::Exception: Unknown table\nmore" }
      : { text: `1000\t${faults.refused ?? 0}\n` };
  });
  const configFile = join(folder, "polder.config.json");
  await writeFile(configFile, faults.config ?? JSON.stringify({ sites: [site] }));
  const env = {
    POLDER_COLLECTOR_PORT: String(collector),
    POLDER_API_PORT: String(api),
    POLDER_SQL_PORT: String(sql),
    POLDER_DATA: folder,
    ...(faults.kafka && { KAFKA_BROKERS: "kafka:9092" }),
  };
  return {
    settings: readSettings({ flags: {}, env, cwd: folder }),
    surroundings: { configFile, now: () => now, timeout },
  };
};
const wrongOf = (findings: Finding[]) => findings.filter(({ level }) => level === "wrong").map(({ text }) => text);
const examineWith = async (faults: Parameters<typeof installation>[0]) => {
  const { settings, surroundings } = await installation(faults);
  return examine(settings, surroundings);
};

it("finds nothing wrong with a healthy installation, and tells what it looked at", async () => {
  const findings = await examineWith({});
  expect(wrongOf(findings)).toEqual([]);
  const text = findings.map((finding) => finding.text).join("\n");
  for (const part of [
    "polder.config.json",
    "yes",
    "data folder",
    "collector",
    "live page",
    "26.7.2.1",
    "clocks",
    "1000 events",
    "3 records",
  ])
    expect(text).toContain(part);
});

it.each([
  ["a log that is away", { collector: 503 }, /collector at .* is not ready: the log cannot be reached/],
  ["a loader that is behind", { lag: 60_000 }, /60000 records of polder.events wait/],
  ["a clock that is ahead", { clockMs: 5_000 }, /clocks .* are 5\.0 s apart/],
  ["a clock that is behind", { clockMs: -5_000 }, /clocks .* are 5\.0 s apart/],
  ["many refusals", { refused: 400 }, /400 refused\. Ask why: SELECT reason/],
  ["missing tables", { tables: false }, /Unknown table\)\. Make them with `npx polder migrate`/],
  ["a bad configuration", { config: '{"sites":[]}' }, /not a configuration that Polder can use/],
])("tells of %s, and of nothing else", async (_, faults, words) => {
  const wrong = wrongOf(await examineWith(faults));
  expect(wrong).toHaveLength(1);
  expect(wrong[0]).toMatch(words);
});

describe("what was not kept", () => {
  const metricsOf = (lost: string) => `polder_collector_events_received_total{site="shop"} 60
polder_collector_events_received_total{site="other"} 40
polder_collector_request_seconds_bucket{le="0.001"} 20
polder_collector_request_seconds_bucket{le="+Inf"} 20
polder_collector_request_seconds_count 20
${lost}
`;

  it.each([
    [
      'polder_collector_events_dropped_total{site="shop",reason="no_consent"} 30\npolder_collector_events_dropped_total{site="other",reason="no_consent"} 20',
      'polder_collector_events_dropped_total{site="shop",reason="no_consent"} 51',
      /^5\d of 100 events were dropped .*\(no_consent\) because they carried no consent.*npx polder key add server --basis/,
    ],
    [
      'polder_collector_events_dropped_total{site="shop",reason="no_profile_consent"} 1',
      'polder_collector_events_dropped_total{site="shop",reason="no_profile_consent"} 99',
      /^\d+ of 100 events were dropped .*no_profile_consent/,
    ],
    [
      'polder_collector_events_dropped_total{site="shop",reason="consent_withdrawn"} 50',
      'polder_collector_events_dropped_total{site="shop",reason="consent_withdrawn"} 51',
      /^5\d of 100 events were dropped .*\(consent_withdrawn\) because .*old yes: docs\/how-to\/no_consent\.md\.$/,
    ],
    [
      'polder_collector_requests_refused_total{code="origin_refused"} 10',
      'polder_collector_requests_refused_total{code="origin_refused"} 11',
      /^1\d of 20 requests were refused .*\(origin_refused\).*List the page's origin.*polder\.config\.json/,
    ],
    [
      'polder_collector_requests_refused_total{code="unknown_key"} 1',
      'polder_collector_requests_refused_total{code="unknown_key"} 20',
      /^\d+ of 20 requests were refused .*\(unknown_key\).*npx polder key list/,
    ],
  ])("is a note up to half of what came, and wrong beyond: %s", async (half, more, words) => {
    for (const [lost, level] of [
      [half, "note"],
      [more, "wrong"],
    ] as const) {
      const losses = (await examineWith({ metrics: metricsOf(lost) })).filter(({ text }) =>
        text.includes("since the collector started"),
      );
      expect(losses).toEqual([{ level, text: expect.stringMatching(words) }]);
    }
  });

  it.each(dropReasons)("has a remedy for %s, on every page of the docs that lists reasons", async (reason) => {
    const metrics = metricsOf(`polder_collector_events_dropped_total{site="shop",reason="${reason}"} 1`);
    expect((await examineWith({ metrics })).map(({ text }) => text).join()).toContain(`(${reason})`);
    for (const page of ["protocol.md", "how-to/no_consent.md"]) {
      const text = await readFile(new URL(`../../../../docs/${page}`, import.meta.url), "utf8");
      expect(text).toContain(`\`${reason}\``);
    }
  });

  it("leaves out what did not happen", async () => {
    const findings = await examineWith({ metrics: metricsOf("") });
    expect(findings.filter(({ text }) => text.includes("since the collector started"))).toEqual([]);
  });
});

describe("where events are", () => {
  const textsOf = async (faults: Parameters<typeof installation>[0]): Promise<string[]> =>
    (await examineWith(faults)).map(({ level, text }) => `${level}: ${text}`);
  const sums = (over: { [column: number]: string | number } = {}): string => {
    const cells = ["shop", 100, 100, 0, 0, 0, 0, "", "", 0, 0, "2026-11-22 10:00:00", 0];
    return `${cells.map((cell, column) => over[column] ?? cell).join("\t")}\n`;
  };

  it("is the log, when it is not empty", async () => {
    const texts = await textsOf({ lag: 7 });
    expect(texts).toContain("ok: Not in ClickHouse yet: 7 are in the log, the oldest for 2 s at most.");
  });

  it("is the spool of a collector, when Kafka is away", async () => {
    const metrics = "polder_collector_spool_records 12\npolder_collector_spool_age_seconds 90.5\n";
    expect(await textsOf({ lag: 0, metrics })).toContainEqual(
      expect.stringMatching(
        /^note: Not in ClickHouse yet: 12 records are in the spool of the collector at http:\S+, the oldest for 91 s: its log is away\.$/,
      ),
    );
  });

  it("is ClickHouse, when nothing waits", async () => {
    expect(await textsOf({ lag: 0 })).toContain("ok: Everything that was answered for is in ClickHouse.");
  });

  describe("where the loaders are other processes", () => {
    const askedOf = async (
      faults: Parameters<typeof installation>[0],
      askKafka: () => Promise<Count[]>,
    ): Promise<string[]> => {
      const { settings, surroundings } = await installation(faults);
      const findings = await examine(settings, { ...surroundings, askKafka });
      return findings.map(({ level, text }) => `${level}: ${text}`);
    };
    const kafkaHas =
      (events: number, rejected = 0) =>
      async (): Promise<Count[]> => [
        { name: "polder_log_lag_records", labels: { topic: "polder.events" }, value: events },
        { name: "polder_log_lag_records", labels: { topic: "polder.rejected" }, value: rejected },
      ];
    const never = async (): Promise<Count[]> => {
      throw new Error("Kafka was asked");
    };
    const spool = "polder_collector_spool_records 12\npolder_collector_spool_age_seconds 90.5\n";

    it("is asked of Kafka", async () => {
      const texts = await askedOf({ kafka: true, metrics: "polder_collector_spool_records 0\n" }, kafkaHas(41, 2));
      expect(texts).toContain("ok: Not in ClickHouse yet: 41 are in the log.");
      expect(texts).toContain("ok: 41 records of polder.events wait to be loaded.");
      expect(texts).toContain("ok: 2 records of polder.rejected wait to be loaded.");
      expect(texts.join("\n")).not.toContain("was asked");
    });

    it("is Kafka and the spool of this collector at once", async () => {
      expect(await askedOf({ kafka: true, metrics: spool }, kafkaHas(5))).toContainEqual(
        expect.stringMatching(
          /^note: Not in ClickHouse yet: 12 records are in the spool of the collector at \S+, the oldest for 91 s: its log is away; 5 are in the log\.$/,
        ),
      );
    });

    it("is not said to be ClickHouse for all of it, since other collectors have spools, too", async () => {
      const texts = await askedOf({ kafka: true, metrics: "polder_collector_spool_records 0\n" }, kafkaHas(0));
      expect(texts).toContainEqual(
        expect.stringMatching(/^ok: Nothing waits in Kafka, nor in the spool of the collector at \S+\. .*--host/),
      );
      expect(texts.join("\n")).not.toContain("Everything");
    });

    it("is known of Kafka when the collector does not answer", async () => {
      const { settings, surroundings } = await installation({ kafka: true });
      const ports = { ...settings.ports, collector: 1 };
      const findings = await examine({ ...settings, ports }, { ...surroundings, askKafka: kafkaHas(60_000) });
      expect(wrongOf(findings)).toContainEqual(expect.stringMatching(/^60000 records of polder\.events wait/));
    });

    it("is wrong not to be known, when Kafka does not answer", async () => {
      const texts = await askedOf({ kafka: true, metrics: spool }, () =>
        Promise.reject(new Error("Kafka did not answer: connection refused.")),
      );
      expect(texts).toContainEqual(
        expect.stringMatching(/^wrong: What waits in Kafka is not known: Kafka did not .*KAFKA_BROKERS \(kafka:9092\)/),
      );
    });

    it("is asked of nobody else where the collector's own process loads", async () => {
      const { settings, surroundings } = await installation({ lag: 0 });
      const kafka = { brokers: ["kafka:9092"], partitions: 24, replicationFactor: 3, topicPrefix: "" } as const;
      const findings = await examine(
        { ...settings, kafka: { ...kafka, producer: "kafkajs" } },
        { ...surroundings, askKafka: never },
      );
      expect(wrongOf(findings)).toEqual([]);
      expect(findings).toContainEqual({ level: "ok", text: "Everything that was answered for is in ClickHouse." });
    });

    it("is not guessed without Kafka's address, and the spool is told all the same", () => {
      const counts = [{ name: "polder_collector_spool_records", labels: {}, value: 3 }];
      expect(whereOnTheWay(counts, "http://localhost").map(({ text }) => text)).toEqual([
        expect.stringMatching(/^Not in ClickHouse yet: 3 records are in the spool/),
        expect.stringMatching(/^How much waits in the log is not known at http:\/\/localhost.*KAFKA_BROKERS/),
      ]);
    });
  });

  it("is not known when ClickHouse has no time for it, which says nothing of its tables", async () => {
    const { settings, surroundings } = await installation();
    const tooLong = new AbortController();
    const busy = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        // Of what it is asked only the loss ledger takes too long.
        if (body.includes("loss_balance")) tooLong.abort(new DOMException("That took too long.", "TimeoutError"));
        else response.end(body.includes("version()") ? "26.7.2.1\t0\n" : "1000\t0\n");
      });
    });
    servers.push(busy);
    await new Promise<void>((resolve) => busy.listen(0, "127.0.0.1", resolve));
    const ports = { ...settings.ports, sql: (busy.address() as AddressInfo).port };
    const findings = await examine(
      { ...settings, ports },
      {
        ...surroundings,
        now: () => new Date(0),
        storeWithinMs: 300,
        timeout: (ms) => (ms === 300 ? tooLong.signal : timeout()),
      },
    );
    busy.closeAllConnections();
    expect(wrongOf(findings)).toEqual([
      expect.stringMatching(/^The loss ledger, .* cannot be read within 0\.3 s\. ClickHouse is busy/),
    ]);
    expect(findings).toContainEqual({ level: "ok", text: "In the last hour 1000 events were stored and 0 refused." });
  });

  it.each([
    ["Code: 60. DB::Exception: Unknown table", true],
    ["Code: 47. DB::Exception: Unknown expression identifier `lost`", true],
    ["Code: 241. DB::Exception: Memory limit exceeded", false],
    ["Code: 497. DB::Exception: Not enough privileges", false],
  ])("is not known when ClickHouse says %s", async (message, isForMigrate) => {
    const wrong = wrongOf(await examineWith({ ledger: new Error(message) }));
    expect(wrong).toHaveLength(1);
    expect(wrong[0]).toContain(
      `The loss ledger, which says whether any events are missing, cannot be read (${message})`,
    );
    expect(wrong[0]!.includes("polder migrate")).toBe(isForMigrate);
  });

  it("is said of each site, with the top reasons", async () => {
    const ledger =
      sums({ 1: 100, 2: 70, 3: 9, 4: 11, 5: 6, 6: 4, 7: "too_deep", 8: "no_consent" }) +
      sums({ 0: "blog", 1: 5, 2: 5 });
    const texts = await textsOf({ ledger });
    expect(texts).toContain(
      "ok: Of 100 events of shop received in the last 24 hours 70 are in ClickHouse, 9 were rejected (most often too_deep), 11 were dropped (most often no_consent), 6 were sent again and are there once, 4 are on their way.",
    );
    expect(texts).toContain("ok: Of 5 events of blog received in the last 24 hours 5 are in ClickHouse.");
    expect(texts.filter((text) => text.startsWith("wrong"))).toEqual([]);
  });

  it.each([
    ["lost", { 9: 3 }, /^3 events of shop that were answered for are nowhere, most of the hour 2026-11-22 10:00:00/],
    [
      "there twice",
      { 10: 2 },
      /^2 events of shop are in ClickHouse more than once, most of the hour 2026-11-22 10:00:00/,
    ],
    [
      "in a spool for hours",
      { 12: 8 },
      /^8 events of shop have been in the spool of a collector for more than an hour/,
    ],
  ])("is wrong when events are %s", async (_, over, words) => {
    const wrong = wrongOf(await examineWith({ ledger: sums(over) }));
    expect(wrong).toHaveLength(1);
    expect(wrong[0]).toMatch(words);
  });
});

it("says that all is well only when there is nothing to look at", () => {
  const found = (...levels: Finding["level"][]): Finding[] => levels.map((level) => ({ level, text: "" }));
  expect(verdict(found("ok", "ok"))).toBe("All is well.");
  expect(verdict(found("ok", "note"))).toBe("Nothing is broken; 1 thing to look at (!).");
  expect(verdict(found("note", "note"))).toBe("Nothing is broken; 2 things to look at (!).");
  expect(verdict(found("note", "wrong"))).toBe("1 thing is wrong.");
});

it("says of each part that does not run how to start it", async () => {
  // Nobody else who asks for any port is given it.
  const [free] = await freePorts(1);
  const env = {
    POLDER_COLLECTOR_PORT: String(free),
    POLDER_API_PORT: String(free),
    POLDER_SQL_PORT: String(free),
    POLDER_DATA: join(folder, "none"),
  };
  const settings = readSettings({ flags: {}, env, cwd: folder });
  const wrong = wrongOf(await examine(settings, { configFile: undefined, now: () => new Date(), timeout }));
  expect(wrong).toHaveLength(5);
  for (const text of wrong) expect(text).toMatch(/npx polder (start|init)/);
});

describe("consent", () => {
  const silent = { level: "ok", text: "Before a choice pages keep and send nothing (silent): shop." };

  it.each([
    ["pages anywhere", { origins: ["*"] }, "wrong", /anywhere/],
    ["pages without encryption", { origins: ["http://shop.example"] }, "wrong", /not encrypted/],
    ["another regime", { consent: { regimes: { US: "opt_out" } } }, "note", /opt_out/],
    [
      "consent from elsewhere",
      {
        writeKeys: [
          { key: "pk_12345678", basis: { purposes: ["profile"], basis: "consent_elsewhere", reason: "own banner" } },
        ],
      },
      "note",
      /own banner/,
    ],
  ] as const)("mentions %s", (_, change, level, words) => {
    expect(checkConsent(configOf(change))).toEqual([{ level, text: expect.stringMatching(words) }, silent]);
  });

  it.each([
    ["buffer", /memory before a choice.*\(buffer\)\. Reason on record: Article 5\(3\), as we read it\.$/],
    ["measurement", /counts page views before a choice.*\(measurement\)\. Reason on record: Article 5/],
  ])("mentions the mode %s with the reason of the owner, and no site that is silent", (mode, words) => {
    const consent = { beforeChoice: { mode, reason: "Article 5(3), as we read it." } };
    expect(checkConsent(configOf({ consent }))).toEqual([{ level: "note", text: expect.stringMatching(words) }]);
  });

  it("tells what servers may send without a consent of their own", () => {
    const basis = { purposes: ["measurement"], basis: "contract", reason: "Orders." };
    const serverKeys = [
      { hash: "a".repeat(64), name: "erp", basis },
      { hash: "b".repeat(64), name: "till" },
    ];
    expect(checkConsent(configOf({ serverKeys }))).toEqual([
      { level: "ok", text: expect.stringContaining("of a page") },
      silent,
      { level: "ok", text: expect.stringMatching(/“erp” .* without .*contract \(measurement\)\. Orders\./) },
      { level: "ok", text: expect.stringMatching(/“till” .* only with a consent/) },
    ]);
  });

  it("is at ease with the default", () => {
    expect(checkConsent(configOf({ origins: ["https://shop.example", "http://localhost:3000"] }))).toEqual([
      { level: "ok", text: expect.stringContaining("yes") },
      silent,
    ]);
  });
});
