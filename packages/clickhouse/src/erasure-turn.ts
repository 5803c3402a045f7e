import { randomUUID } from "node:crypto";

import { quoteName, quoteText, type ClickHouse } from "./clickhouse.ts";

/** The right to carry erasures out, until it is given back or another worker takes it. */
export interface ErasureTurn {
  /** True in SQL as long as nobody else has it; takes {@link params}. A statement that asks it has to go with {@link settings}. */
  isHeld: string;
  params: { worker: string };
  settings: { log_comment: string };
  /** Before every step. @throws when another worker has it. */
  keep(): Promise<void>;
  giveBack(): Promise<void>;
}

interface Turn {
  n: number;
  worker: string;
  /** Since it was taken or kept last, by the clock of the store: those of workers differ. */
  silentMs: number;
}

/** Whoever was not heard of for so long is taken for gone. */
const silentForMs = 60_000;
const keptEveryMs = 10_000;

/**
 * One worker at a time: counts are subtracted once, and what is made anew is made by one. `erasure_turn` says who it is: whoever adds the next number,
 * by its token. Undefined as long as another worker has it.
 */
export async function takeErasureTurn(
  clickhouse: ClickHouse,
  cluster: string | undefined,
): Promise<ErasureTurn | undefined> {
  const own = randomUUID();
  const settings = { log_comment: `polder erasures ${clickhouse.database}` };

  const lastTurn = async (): Promise<Turn> => {
    const [turn] = await clickhouse.query<Turn>(
      `SELECT n, worker, toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(at) AS silentMs
       FROM erasure_turn ORDER BY n DESC LIMIT 1`,
    );
    return turn ?? { n: 0, worker: "", silentMs: 0 };
  };
  const add = async (n: number, worker: string): Promise<boolean> => {
    await clickhouse.insertRows("erasure_turn", [{ what: "erasures", n, worker }], {
      settings: {
        insert_deduplicate: 1,
        deduplicate_insert: "enable",
        insert_deduplication_token: `erasure_turn:${n}`,
      },
    });
    const now = await lastTurn();
    return now.n === n && now.worker === worker;
  };

  const last = await lastTurn();
  if (last.worker !== "" && last.silentMs < silentForMs) return undefined;
  const giveBack = async (): Promise<void> => {
    const { n, worker } = await lastTurn();
    if (worker === own) await add(n + 1, "");
  };
  try {
    if (!(await add(last.n + 1, own))) return undefined;
    // What the server was still doing for the one before: a statement that asks later whose turn it is does nothing any more.
    const onCluster = cluster === undefined ? "" : `ON CLUSTER ${quoteName(cluster)}`;
    await clickhouse.command(
      `KILL QUERY ${onCluster} WHERE Settings['log_comment'] = ${quoteText(settings.log_comment)} SYNC`,
    );
  } catch (error) {
    await giveBack().catch(() => undefined);
    throw error;
  }
  const keep = async (): Promise<void> => {
    const { n, worker, silentMs } = await lastTurn();
    const isOwn = worker === own && (silentMs < keptEveryMs || (await add(n + 1, own)));
    if (isOwn) return;
    const message = "another worker carries out erasures by now: what is left of these is looked for again";
    throw Object.assign(new Error(message), { code: "erasure_turn_lost" });
  };
  // Also while a statement takes longer than the others wait. What is lost is told before the next step.
  let keeping: Promise<void> = Promise.resolve();
  const beat = setInterval(() => {
    keeping = keeping.then(keep).catch(() => undefined);
  }, keptEveryMs);
  beat.unref();
  return {
    isHeld: "(SELECT argMax(worker, n) FROM erasure_turn) = {worker: String}",
    params: { worker: own },
    settings,
    keep,
    async giveBack() {
      clearInterval(beat);
      // One that is under way would take it again.
      await keeping;
      await giveBack();
    },
  };
}
