import { readFile } from "node:fs/promises";
import {
  defaultIdentityRules,
  parseAudience,
  resolvePeople,
  type IdentityAtom,
  type IdentityDecision,
  type IdentityEdge,
} from "@polder/core";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";

import { createAudienceStore, type Audience } from "../audience-store.ts";
import { createAudienceTickStore } from "../audience-tick-store.ts";
import { compileAudiences } from "../audiences/compile-audience.ts";
import { createClickHouse, type ClickHouse } from "../clickhouse.ts";
import { createEventStore } from "../event-store.ts";
import { reloadIdentities } from "../reload-identities.ts";
import { sqlDocs } from "./questions-of-docs.ts";
import { silent, startTestDatabase, type TestDatabase } from "./start-test-database.ts";

export interface ExampleDatabase extends TestDatabase {
  events: readonly LoadedEventRow[];
  /** The read-only user whom analysts are. */
  analyst: ClickHouse;
  /** From now on people are who events and these decisions say they are: what the worker does on a tick. */
  resolve(decisions: readonly IdentityDecision[]): Promise<void>;
}

/** When the audience of the example was worked out: a week apart. */
export const audienceMoments = ["10-19", "10-26", "11-02", "11-09", "11-16", "11-23", "11-30"].map((day) =>
  Date.parse(`2026-${day}T06:00:00Z`),
);

/** What `docs/sql` asks: the events as they are in the file, who is who in them, the loss ledger, and an audience over seven weeks. */
export async function startExampleDatabase(audience: unknown): Promise<ExampleDatabase> {
  const database = await startTestDatabase();
  const { engine, clickhouse } = database;
  const store = createEventStore({ clickhouse });
  const events = (await linesOf("example-events.jsonl")).map((line) => buildEventRow(line as Partial<LoadedEventRow>));
  await accepted(store.insert("events", "examples", rowBytes(events)));
  for (const entries of rowBytes([...booksOf(events), ...(await linesOf("example-ledger.jsonl"))]))
    await accepted(store.insertLedger("ledger_entry", entries));
  await clickhouse.insertRows("ledger_progress", [
    { topic: "polder.events", partition: 0, loaded_until: "2026-11-30 12:00:00.000" },
  ]);

  let version = 0;
  const resolve = async (decisions: readonly IdentityDecision[]): Promise<void> => {
    version += 1;
    const atoms = await clickhouse.query<IdentityAtom>(
      "SELECT DISTINCT atom, anonymous_id AS anonymousId, user_id AS userId FROM atom WHERE site = 'shop'",
    );
    const edges = await clickhouse.query<IdentityEdge>(
      `SELECT kind, anonymous_id AS anonymousId, user_id AS userId, other, rule, toUnixTimestamp64Milli(e.time) AS time
       FROM identity_edge AS e WHERE site = 'shop'`,
    );
    const { persons } = resolvePeople({ atoms, edges, decisions, rules: defaultIdentityRules });
    await clickhouse.insertRows(
      "identity",
      [...persons].map(([atom, person]) => ({ site: "shop", atom, person, version })),
    );
    await reloadIdentities(clickhouse);
  };
  await resolve([]);
  await workOut(clickhouse, audience);

  const analyst = createClickHouse({ url: engine.url, ...engine.analyst, database: "polder", logger: silent });
  return {
    ...database,
    events,
    analyst,
    resolve,
    stop: async () => {
      await analyst.close();
      await database.stop();
    },
  };
}

const linesOf = async (file: string): Promise<object[]> =>
  (await readFile(new URL(file, sqlDocs), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as object);

async function accepted(inserted: Promise<{ ok: boolean }>): Promise<void> {
  const answer = await inserted;
  if (!answer.ok) throw new Error(`The examples were refused: ${JSON.stringify(answer)}`);
}

/** What a collector and a loader write down of events that all went well. */
function booksOf(events: readonly LoadedEventRow[]): object[] {
  const arrivals = new Map<string, number>();
  for (const { site, received_at } of events) {
    const key = `${site} ${received_at.slice(0, 13)}:00:00`;
    arrivals.set(key, (arrivals.get(key) ?? 0) + 1);
  }
  return [...arrivals].flatMap(([key, count]) => {
    const [site, ...hour] = key.split(" ");
    const entry = { site, hour: hour.join(" "), reason: "", process: "one", first: [0], last: [count - 1], counted: 0 };
    return ["answered", "stored"].map((outcome) => ({ ...entry, outcome }));
  });
}

/** As the worker does on its ticks: who comes and who goes at each moment, and the size when there was a change. */
async function workOut(clickhouse: ClickHouse, input: unknown): Promise<void> {
  const parsed = parseAudience(input);
  if (!parsed.ok) throw new Error(`The audience of the examples is none: ${JSON.stringify(parsed.faults)}`);
  const { definition } = parsed;
  const audience: Audience = {
    site: "shop",
    audience: "recent-buyers",
    revision: 1,
    version: 1,
    name: "Recent buyers",
    definition,
    isAnonymous: false,
    purpose: "measurement",
    state: "active",
    everySeconds: 60,
    sizeFloor: 0,
    expiresAt: undefined,
    at: Date.parse("2026-10-19T00:00:00Z"),
    actor: "example",
    reason: "example",
  };
  await createAudienceStore(clickhouse).save(audience);
  const ticks = createAudienceTickStore({ clickhouse });
  const last = Math.max(...audienceMoments);
  let turn = await ticks.takeTurn("example", last, { standbyMs: 0, isForced: true, isDoubted: false });
  if (turn === undefined) throw new Error("Somebody else works audiences out in a database of our own");
  // Once is enough: nobody in the examples refuses to be measured after having agreed.
  await ticks.workOutConsent(turn, "shop", last);
  for (const at of audienceMoments) {
    const context = {
      site: "shop",
      now: new Date(at),
      timezone: "Europe/Amsterdam",
      audiences: new Map(),
      computedTraits: new Map(),
    };
    const compiled = compileAudiences([definition], context);
    const seq = await ticks.logChanges(turn, [{ audience, by: "definition", isNewVersion: false }], {
      compiled,
      at,
      hasMoved: false,
    });
    await ticks.applyLog();
    if (seq > turn.seq) await ticks.writeSizes([audience], at);
    turn = { ...turn, seq };
  }
}
