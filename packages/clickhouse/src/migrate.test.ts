import { describe, expect, it } from "vitest";

import { ClickHouseQueryError, type ClickHouse, type QueryOptions } from "./clickhouse.ts";
import { migrate } from "./migrate.ts";
import { migrations } from "./migrations/render-migrations.ts";

const numbers = migrations.map(({ number }) => number);

interface FakeServer {
  clickhouse: ClickHouse;
  /** Every command, in order. */
  commands: { sql: string; options: QueryOptions | undefined }[];
  /** What the table of migrations holds. */
  applied: { number: number; checksum: string }[];
  /** Rows in `events`. */
  rows: number;
  /** When they arrived. */
  hours: { week: string; hour: number; count: number }[];
  /** Of the table that is made anew: rows of weeks that are not done. */
  undone: number;
  /** What the table of weeks that are done holds, of any migration. */
  weeks: string[];
  /** Those that it has, with how they were made. */
  views: { name: string; sql: string }[];
  lock: string | undefined;
  looksAtLock: number;
  /** Called before a command is carried out. */
  onCommand?: (sql: string) => Promise<void> | void;
  /** Called after its rows were counted. */
  onCounted?: () => void;
}

/** A server that carries out nothing, and knows of the lock, of what was applied and of how many rows there are. */
function createFakeServer(): FakeServer {
  const server = {
    async command(sql: string, options?: QueryOptions) {
      await fake.onCommand?.(sql);
      fake.commands.push({ sql, options });
      if (sql.startsWith("CREATE TABLE") && sql.includes(".migration_lock")) fake.lock = commentOf(sql);
      if (sql.startsWith("ALTER TABLE") && sql.includes(".migration_lock")) fake.lock = commentOf(sql);
      if (sql.startsWith("DROP TABLE")) fake.lock = undefined;
      if (sql.startsWith("INSERT") && sql.includes(".migration (")) {
        const { number, checksum } = options!.params as { number: number; checksum: string };
        fake.applied.push({ number, checksum });
      }
      if (sql.includes(".migration_week (")) fake.weeks.push((options!.params as { week: string }).week);
    },
    async query(sql: string) {
      if (sql.includes("migration_lock")) {
        fake.looksAtLock++;
        return fake.lock === undefined ? [] : [{ owner: fake.lock, silentSeconds: 0 }];
      }
      if (sql.includes(".migration_week")) return [...fake.weeks].map((week) => ({ week }));
      if (sql.includes("toStartOfHour")) return fake.hours;
      if (sql.includes("engine = 'View'")) return fake.views;
      if (sql.includes(".migration ")) return [...fake.applied];
      const counted = [{ n: fake.rows, count: fake.undone }];
      fake.onCounted?.();
      return counted;
    },
  };
  const named = { ...server, username: "polder" };
  const clickhouse = { database: "x", dictionaryCredentials: () => "", withoutDatabase: () => named, ...named };
  const fake: FakeServer = {
    clickhouse: clickhouse as unknown as ClickHouse,
    commands: [],
    applied: [],
    rows: 0,
    hours: [],
    undone: 0,
    weeks: [],
    views: [],
    lock: undefined,
    looksAtLock: 0,
  };
  return fake;
}

const commentOf = (sql: string): string => /COMMENT '(.+)'$/.exec(sql)![1]!;

/** One that has everything up to migration 8, and rows. */
async function createFilledServer(): Promise<FakeServer> {
  const fake = createFakeServer();
  await migrate(fake.clickhouse);
  fake.applied = fake.applied.filter(({ number }) => number < 9);
  fake.commands = [];
  fake.rows = 1_000;
  return fake;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await nextTurn();
}

describe("the lock", () => {
  it("is held for as long as one statement takes", async () => {
    const fake = createFakeServer();
    const renewals = (): number => fake.commands.filter(({ sql }) => sql.includes("MODIFY COMMENT")).length;
    let during = 0;
    fake.onCommand = async (sql) => {
      if (!sql.startsWith("CREATE DATABASE") && sql.includes("TABLE IF NOT EXISTS `x`.rejected ")) {
        const before = renewals();
        await until(() => renewals() >= before + 3);
        during = renewals() - before;
      }
    };
    expect(await migrate(fake.clickhouse, { renewEveryMs: 1 })).toEqual(numbers);
    expect(during).toBeGreaterThanOrEqual(3);
    expect(fake.lock).toBeUndefined();
  });

  it("when it was lost, ends the work and stays the other's", async () => {
    const fake = createFakeServer();
    fake.onCommand = async (sql) => {
      if (!sql.includes("TABLE IF NOT EXISTS `x`.rejected ")) return;
      fake.lock = "somebody else";
      const looks = fake.looksAtLock;
      // The second look begins when the first has ended.
      await until(() => fake.looksAtLock >= looks + 2);
    };
    await expect(migrate(fake.clickhouse, { renewEveryMs: 1 })).rejects.toMatchObject({
      code: "migration_failed",
      message: expect.stringMatching(/Another process migrates the database x.*Start again/),
    });
    expect(fake.lock).toBe("somebody else");
    expect(fake.applied).toEqual([]);
  });
});

describe("views", () => {
  it("answer as the user who migrates, and are told so only where they do not yet", async () => {
    const fake = createFakeServer();
    const made = (by: string): string => `CREATE VIEW x.people DEFINER = ${by} SQL SECURITY DEFINER AS SELECT 1`;
    fake.views = [
      { name: "people", sql: made("somebody") },
      { name: "orders", sql: "CREATE VIEW x.orders AS SELECT 1" },
      { name: "sessions", sql: made("polder") },
    ];
    await migrate(fake.clickhouse);
    const told = fake.commands.map(({ sql }) => sql).filter((sql) => sql.includes("SQL SECURITY"));
    expect(told.map((sql) => /^ALTER TABLE `x`\.`(\w+)` .*DEFINER = `polder`$/.exec(sql)?.[1])).toEqual([
      "people",
      "orders",
    ]);
  });
});

describe("rows that have to be brought to a new shape", () => {
  it("are none in a new database: it waits for nothing and moves nothing", async () => {
    const fake = createFakeServer();
    expect(await migrate(fake.clickhouse, { quietForMs: 2_000_000_000 })).toEqual(numbers);
    const touched = fake.commands.filter(({ sql }) =>
      /^(KILL|INSERT INTO `x`\.(?!migration )|ALTER .*DELETE)/s.test(sql),
    );
    expect(touched).toEqual([]);
  });

  it("are moved after what an earlier try left has been ended, by statements that may take hours", async () => {
    const fake = await createFilledServer();
    expect(await migrate(fake.clickhouse, { quietForMs: 0 })).toEqual(numbers.filter((number) => number >= 9));
    const kinds = fake.commands.map(({ sql }) => /^KILL \w+|^INSERT INTO `x`\.\w+/.exec(sql)?.[0]).filter(Boolean);
    const inserts = (...tables: string[]): string[] => tables.map((table) => `INSERT INTO \`x\`.${table}`);
    expect(kinds).toEqual([
      "KILL QUERY",
      "KILL MUTATION",
      ...inserts("atom", "profile_state", "trait_state", "session_state", "audience_day", "migration"),
      ...inserts("log_position", "migration"),
      // No hour has events here, so there is no slice.
      ...inserts("migration", "migration", "migration", "migration", "person_atom", "migration", "migration"),
    ]);
    const insert = fake.commands.find(({ sql }) => sql.startsWith("INSERT INTO `x`.profile_state"));
    expect(insert?.options).toEqual({ isLong: true, settings: { log_comment: "polder migrates x" } });
  });

  it("are made anew by slices: hours together up to a size, an hour above it in parts, a week alone", async () => {
    const fake = await createFilledServer();
    await migrate(fake.clickhouse, { quietForMs: 0, upTo: 11 });
    fake.commands = [];
    const [monday, next] = ["2026-11-09", "2026-11-16"];
    const at = (week: string, hour: number): number => Date.parse(`${week}T00:00:00Z`) / 1_000 + hour * 3_600;
    fake.hours = [
      { week: monday, hour: at(monday, 0), count: 60 },
      { week: monday, hour: at(monday, 5), count: 40 },
      { week: monday, hour: at(monday, 6), count: 201 },
      { week: next, hour: at(next, 0), count: 1 },
    ];
    fake.undone = 7;
    const slices: number[][] = [];
    await migrate(fake.clickhouse, {
      quietForMs: 0,
      upTo: 12,
      maxEventsOfSlice: 100,
      onProgress: ({ slice, slices: of }) => slices.push([slice, of]),
    });
    expect(slices).toEqual([1, 2, 3, 4, 5].map((slice) => [slice, 5]));
    const made = fake.commands.filter(({ sql }) => sql.startsWith("INSERT INTO `x`.consent_state"));
    const hour = { from: at(monday, 6), to: at(monday, 7) };
    expect(made.map(({ options }) => options?.params)).toEqual([
      { from: at(monday, 0), to: at(monday, 6), part: 0, parts: 1 },
      ...[0, 1, 2].map((part) => ({ ...hour, part, parts: 3 })),
      { from: at(next, 0), to: at(next, 1), part: 0, parts: 1 },
    ]);
    // Memory that does not grow with the server, and blocks that are no retry of each other.
    expect(made[0]?.options).toMatchObject({
      isLong: true,
      settings: { max_threads: 2, insert_deduplicate: 0, log_comment: "polder migrates x" },
    });
    expect(fake.weeks).toEqual([monday, next]);
    const removals = fake.commands.filter(({ sql }) => /consent_state\s+DELETE WHERE/.test(sql));
    expect(removals.map(({ options }) => options?.params)).toEqual([{ done: [] }]);
    expect(fake.commands.indexOf(removals[0]!)).toBeLessThan(fake.commands.indexOf(made[0]!));
  });

  it("are made anew without the weeks that were done before it was cut off", async () => {
    const fake = await createFilledServer();
    await migrate(fake.clickhouse, { quietForMs: 0, upTo: 11 });
    fake.commands = [];
    fake.hours = ["2026-11-09", "2026-11-16"].map((week) => ({ week, hour: Date.parse(week) / 1_000, count: 1 }));
    fake.weeks = ["2026-11-09"];
    const told: number[] = [];
    await migrate(fake.clickhouse, { quietForMs: 0, upTo: 12, onProgress: ({ slice }) => told.push(slice) });
    expect(told).toEqual([2]);
    expect(fake.commands.filter(({ sql }) => sql.startsWith("INSERT INTO `x`.consent_state"))).toHaveLength(1);
    expect(fake.commands.filter(({ sql }) => /DELETE WHERE/.test(sql))).toEqual([]);
  });

  it("begin their week again when the server has no memory for a slice, and give up when it never has", async () => {
    for (const [failures, ends] of [
      [4, true],
      [5, false],
    ] as const) {
      const fake = await createFilledServer();
      await migrate(fake.clickhouse, { quietForMs: 0, upTo: 11 });
      fake.hours = ["2026-11-09", "2026-11-16"].map((week) => ({ week, hour: Date.parse(week) / 1_000, count: 1 }));
      fake.undone = 7;
      fake.commands = [];
      let failed = 0;
      fake.onCommand = (sql) => {
        if (!sql.startsWith("INSERT INTO `x`.consent_state") || fake.weeks.length === 0 || failed === failures) return;
        failed += 1;
        throw new ClickHouseQueryError(241, "memory limit exceeded");
      };
      const migrated = migrate(fake.clickhouse, { quietForMs: 0, upTo: 12 });
      if (ends) expect(await migrated).toEqual([12]);
      else await expect(migrated).rejects.toThrow(/Migration 12 .*memory limit exceeded/);
      expect(fake.weeks).toEqual(ends ? ["2026-11-09", "2026-11-16"] : ["2026-11-09"]);
      // What the slice had stored before it failed is removed each time, and what is done stays.
      const removals = fake.commands.filter(({ sql }) => /consent_state\s+DELETE WHERE/.test(sql));
      expect(removals.map(({ options }) => options?.params)).toEqual([
        { done: [] },
        ...Array.from({ length: 4 }, () => ({ done: ["2026-11-09"] })),
      ]);
    }
  });

  it("of a week count as done only when nothing was stored while they were made", async () => {
    const fake = await createFilledServer();
    await migrate(fake.clickhouse, { quietForMs: 0, upTo: 11 });
    fake.hours = [{ week: "2026-11-09", hour: 0, count: 1 }];
    fake.onCommand = (sql) => {
      if (sql.startsWith("INSERT INTO `x`.consent_state")) fake.rows++;
    };
    await expect(migrate(fake.clickhouse, { quietForMs: 0, upTo: 12 })).rejects.toThrow(/got 1 rows meanwhile/);
    expect(fake.weeks).toEqual([]);
  });

  it("are left alone while something loads", async () => {
    const fake = await createFilledServer();
    fake.onCommand = (sql) => {
      // A loader that goes on all the time.
      if (sql.startsWith("KILL MUTATION")) fake.onCounted = () => (fake.rows += 5);
    };
    await expect(migrate(fake.clickhouse, { quietForMs: 0 })).rejects.toMatchObject({
      code: "migration_failed",
      message: expect.stringMatching(/Migration 9 .*got 5 rows meanwhile\. Stop every loader and worker/),
    });
    expect(fake.commands.filter(({ sql }) => /^(ALTER TABLE `x`\.(?!migration_lock)|INSERT)/.test(sql))).toEqual([]);
    expect(fake.lock).toBeUndefined();
  });

  it("are not moved any further once something has loaded", async () => {
    const fake = await createFilledServer();
    fake.onCommand = (sql) => {
      if (sql.startsWith("INSERT INTO `x`.profile_state")) fake.rows++;
    };
    await expect(migrate(fake.clickhouse, { quietForMs: 0 })).rejects.toThrow(/got 1 rows meanwhile/);
    // What it was doing, and nothing after it: begun again it makes those states anew.
    expect(fake.commands.findLast(({ sql }) => !sql.includes("migration_lock"))?.sql).toMatch(
      /^INSERT INTO `x`\.profile_state/,
    );
    expect(fake.applied.map(({ number }) => number)).not.toContain(9);
  });
});
