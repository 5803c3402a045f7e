import { StoreUnavailableError } from "@polder/core";
import { buildEventRow, describeEventStore, rowBytes } from "@polder/core/contracts";
import { expect, it } from "vitest";

import { createClickHouse } from "./clickhouse.ts";
import { createEventStore } from "./event-store.ts";
import { silent, startTestDatabase } from "./test-support/start-test-database.ts";

const viewTargets = ["atom", "profile_state", "trait_state", "audience_day", "session_state", "identity_edge"];
const ofTheLog = ["log_position", "log_source", "log_gap"];

describeEventStore("clickhouse", async () => {
  const { engine, clickhouse, stop } = await startTestDatabase();
  let restarted: (() => void) | undefined;
  engine.onRestart(() => restarted?.());
  const count = async (sql: string): Promise<number> => (await clickhouse.query<{ n: number }>(sql))[0]?.n ?? -1;
  return {
    store: createEventStore({ clickhouse }),
    empty: async () => {
      for (const table of ["events", "rejected", ...viewTargets, ...ofTheLog])
        await clickhouse.command(`TRUNCATE TABLE ${table}`);
    },
    eventCounts: async () => ({
      events: await count("SELECT count() AS n FROM events"),
      profile_state: await count("SELECT sum(events) AS n FROM profile_state"),
      session_state: await count("SELECT sum(events) AS n FROM session_state"),
      audience_day: await count("SELECT sum(events) AS n FROM audience_day WHERE dimension = 'all'"),
    }),
    breakView: async () => {
      // A column that the view fills is gone from its target: the rows of the table itself are written by then.
      await clickhouse.command("RENAME TABLE profile_state TO profile_state_away");
      return () => clickhouse.command("RENAME TABLE profile_state_away TO profile_state");
    },
    removeEvents: () => clickhouse.command("ALTER TABLE events DELETE WHERE 1 SETTINGS mutations_sync = 2"),
    killServer: async () => {
      const pid = engine.pid();
      if (pid === undefined) throw new Error("the engine is not running");
      const back = new Promise<void>((done) => (restarted = done));
      process.kill(pid, "SIGKILL");
      await back;
    },
    dispose: stop,
  };
});

it("says unavailable when nobody listens, when the password is wrong and when the database is not there", async () => {
  const { engine, stop } = await startTestDatabase({ migrated: false });
  try {
    for (const options of [
      // A port that nobody is ever given.
      { url: "http://127.0.0.1:1", ...engine.admin },
      { url: engine.url, username: engine.admin.username, password: "wrong" },
      { url: engine.url, ...engine.admin },
    ]) {
      const clickhouse = createClickHouse({ ...options, database: "polder", logger: silent });
      const store = createEventStore({ clickhouse });
      await expect(store.insert("events", "t", rowBytes([buildEventRow()]))).rejects.toBeInstanceOf(
        StoreUnavailableError,
      );
      await expect(store.maxAtom(0)).rejects.toBeInstanceOf(StoreUnavailableError);
      const hashes = store.messageHashes(0, 0, 10, new Uint32Array(4))[Symbol.asyncIterator]();
      await expect(hashes.next()).rejects.toBeInstanceOf(StoreUnavailableError);
      await expect(store.messagesAt(0, [1])).rejects.toBeInstanceOf(StoreUnavailableError);
      await expect(store.gaps.open()).rejects.toBeInstanceOf(StoreUnavailableError);
      await store.close();
    }
  } finally {
    await stop();
  }
});
