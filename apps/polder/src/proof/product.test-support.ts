import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createClickHouse,
  createErasureStore,
  createEventStore,
  createIdentityStore,
  createPersonFlagStore,
  migrate,
  type ClickHouse,
} from "@polder/clickhouse";
import { emailHash, phoneHash, type LogRecord } from "@polder/core";
import { buildEventRow } from "@polder/core/contracts";
import { startEngine } from "@polder/engine";
import { createLmdbLog } from "@polder/lmdb";
import { createLoader, type Loader } from "@polder/loader";
import { dayOf, type IdentityRules, type PersonDecision, type PersonEvent } from "@polder/testing";
import { createAudiences, createEraser, createWorker, type Eraser, type Worker } from "@polder/worker";
import { Registry } from "prom-client";
import { saveAudiences } from "./audiences.test-support.ts";

const silent = { info() {}, warn() {}, error() {} };

/** Log, loader, engine and worker in this process, with a clock of its own. */
export interface Product {
  clickhouse: ClickHouse;
  /** A site with the fixed audiences. */
  open(site: string): Promise<void>;
  /** As a collector appends them, and until they are loaded. */
  accept(site: string, events: readonly PersonEvent[]): Promise<void>;
  decide(site: string, decision: PersonDecision): Promise<void>;
  configure(site: string, rules: IdentityRules): void;
  /** Hidden when it resolves. */
  erase(site: string, person: number): Promise<void>;
  /** Removes the rows of those who were erased. */
  purge(): Promise<void>;
  /** The worker looks at all that is new, and works out audiences where it is asked to. */
  settle(withAudiences: boolean): Promise<void>;
  /** The same by a worker that ends at its so many-th call of the store, wherever that is. Another one is there afterwards. */
  settleCutOff(withAudiences: boolean, afterCalls: number): Promise<void>;
  /** What the person of this identity may not be used for, or may again. */
  flag(site: string, atom: number, flag: "restrict" | "object", isSet: boolean): Promise<void>;
  restartLoader(): Promise<void>;
  /** A worker that remembers nothing. */
  restartWorker(): void;
  passTime(ms: number): void;
  now(): number;
  stop(): Promise<void>;
}

export async function startProduct(startsAt: number): Promise<Product> {
  const folder = await mkdtemp(join(tmpdir(), "polder-proof-"));
  const engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger: silent });
  const clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger: silent });
  await migrate(clickhouse);
  const log = createLmdbLog({ path: join(folder, "log"), partitions: 2, pollMs: 5, retryAfterMs: 5, logger: silent });
  let time = startsAt;
  const now = (): Date => new Date(time);

  const rules = new Map<string, IdentityRules>();

  const startLoader = (): { loader: Loader; running: Promise<void> } => {
    const loader = createLoader({
      log,
      store: createEventStore({ clickhouse }),
      logger: silent,
      registry: new Registry(),
      now,
      clock: () => time,
      lingerMs: 1,
    });
    return { loader, running: loader.run() };
  };
  const newWorker = (reached = clickhouse): Worker =>
    createWorker({
      store: createIdentityStore(reached),
      identityRules: () => rules,
      logger: silent,
      registry: new Registry(),
      now,
    });
  const erasures = createErasureStore({ clickhouse, rules: () => rules });
  const newEraser = (): Eraser => createEraser({ store: erasures, now, everyMs: 0, graceMs: 0 });
  const newAudiences = (reached = clickhouse) =>
    createAudiences({ clickhouse: reached, sites: () => sites, now, logger: silent, everyMs: 0 });
  let sites: { id: string; timezone: string }[] = [];
  let audiences = newAudiences();
  let eraser = newEraser();
  let loading = startLoader();
  let worker = newWorker();

  const flags = createPersonFlagStore({ clickhouse, blockedAt: (site) => rules.get(site)?.blocked ?? [] });

  const stopLoader = async (): Promise<void> => {
    await loading.loader.stop();
    await loading.running;
  };
  const loaded = async (): Promise<void> => {
    for (;;) {
      const lag = await log.lag("polder.events", "polder.loader");
      if ([...lag.values()].every((count) => count === 0)) return;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };

  const restartWorker = (): void => {
    worker = newWorker();
    eraser = newEraser();
    audiences = newAudiences();
  };

  return {
    clickhouse,
    async open(site) {
      // Of earlier sites nothing is asked any more.
      sites = [{ id: site, timezone: "UTC" }];
      await saveAudiences(clickhouse, site, time);
    },
    async accept(site, events) {
      await log.append(
        "polder.events",
        events.map((event) => recordOf(site, event, time)),
      );
      await loaded();
    },
    async decide(site, decision) {
      const nothing = { left: "", right: "", edges: [], undoes: "" };
      const edges =
        decision.action !== "unmerge"
          ? []
          : decision.edges.map(({ kind, node, other }) => {
              if (kind === "email") return { kind, node, other: emailHash(other) };
              return { kind, node, other: kind === "phone" ? phoneHash(other) : other };
            });
      const row = { ...nothing, ...decision, edges, site, at: timeText(time), actor: "proof", reason: "to see" };
      await clickhouse.insertRows("identity_decision", [row]);
    },
    configure: (site, ofSite) => void rules.set(site, ofSite),
    async erase(site, person) {
      await erasures.request({ site, people: [person], actor: "proof", reason: "to see", at: now() });
    },
    async purge() {
      await eraser.tick();
    },
    async settle(withAudiences) {
      await worker.tick();
      if (withAudiences) await audiences.tick();
    },
    async settleCutOff(withAudiences, afterCalls) {
      const reached = cutOffAfter(clickhouse, afterCalls);
      const ticker = newAudiences(reached);
      try {
        await newWorker(reached).tick();
        if (withAudiences) await ticker.tick();
      } catch (error) {
        if (error !== cutOff) throw error;
      }
      await ticker.stop();
      restartWorker();
    },
    async flag(site, atom, flag, isSet) {
      const [row] = await clickhouse.query<{ person: number }>("SELECT person({atom:UInt32}) AS person", {
        params: { atom },
      });
      const by = { actor: "proof", reason: "to see", at: now() };
      await flags.decide({ site, person: row!.person, flag, purposes: ["personalisation"], isSet, ...by });
    },
    async restartLoader() {
      await stopLoader();
      loading = startLoader();
    },
    restartWorker,
    passTime: (ms) => void (time += ms),
    now: () => time,
    async stop() {
      await stopLoader();
      await log.close();
      await clickhouse.close();
      await engine.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const cutOff = new Error("cut off");

/** The store, which ends at its so many-th call. */
function cutOffAfter(clickhouse: ClickHouse, calls: number): ClickHouse {
  let left = calls;
  const count = (): void => {
    if (left-- <= 0) throw cutOff;
  };
  return {
    ...clickhouse,
    async query(sql, options) {
      count();
      return clickhouse.query(sql, options);
    },
    async command(sql, options) {
      count();
      await clickhouse.command(sql, options);
    },
    async insertRows(table, rows, options) {
      count();
      await clickhouse.insertRows(table, rows, options);
    },
    async insertBytes(table, chunks, options) {
      count();
      await clickhouse.insertBytes(table, chunks, options);
    },
  };
}

const timeText = (time: number): string => new Date(time).toISOString().replace("T", " ").slice(0, -1);

function recordOf(site: string, event: PersonEvent, receivedAt: number): LogRecord {
  const { id, anonymousId, userId, order, traits = {}, choices = {} } = event;
  const {
    _partition,
    _offset,
    atom: _atom,
    ...row
  } = buildEventRow({
    site,
    message_id: id,
    anonymous_id: anonymousId,
    user_id: userId,
    day: dayOf(event.time),
    time: timeText(event.time),
    client_time: timeText(event.time),
    received_at: timeText(receivedAt),
    type: event.type,
    name: event.name,
    previous_id: event.previousId ?? "",
    session_id: sessionOf(event),
    session_start: timeText(Date.parse(dayOf(event.time))),
    basis: event.basis,
    library: event.library ?? "polder.js/0.1.0",
    consent_mask: event.mask,
    order_id: order?.id ?? "",
    amount: String(order?.amount ?? 0),
    currency: order?.currency ?? "",
    "traits.name": Object.keys(traits),
    "traits.value": Object.values(traits),
    "traits.class": Object.keys(traits).map(() => "identity"),
    "traits.purpose": Object.keys(traits).map(() => "profile"),
    "traits.personal": Object.keys(traits).map(() => 1),
    "choice.purpose": Object.keys(choices),
    "choice.state": Object.values(choices),
  });
  return {
    key: `${site}:${anonymousId || userId || id}`,
    value: Buffer.from(JSON.stringify(row)),
    headers: { id, site, anonymousId, userId },
  };
}

/** Every device has one visit a day; an event without a device has none. */
export const sessionOf = ({ anonymousId, time }: PersonEvent): string =>
  anonymousId === "" ? "" : `${anonymousId} ${dayOf(time)}`;
