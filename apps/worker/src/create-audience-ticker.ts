import {
  AudienceError,
  ClickHouseQueryError,
  type Audience,
  type AudienceStore,
  type AudienceTickStore,
  type AudienceTurn,
  type AudienceWork,
  type CompiledAudience,
  type AudienceContext,
} from "@polder/clickhouse";
import { errorText, type AudienceDefinition, type Logger, type Withdrawal } from "@polder/core";
import type { AudienceTeller } from "./create-audience-teller.ts";

type ComputedTraits = AudienceContext["computedTraits"];

export interface AudienceTickerOptions {
  store: AudienceStore;
  ticks: AudienceTickStore;
  /** Turns definitions into one question. Throws when it cannot be asked. */
  compile: (definitions: readonly AudienceDefinition[], context: AudienceContext) => CompiledAudience;
  /** Of the configuration: a site that is not there any more keeps its audiences as they are. */
  sites: () => readonly { id: string; timezone: string }[];
  /** The computed traits of a site, by name; none without it. */
  computedTraits?: (site: string) => Promise<ComputedTraits>;
  /** Tells whoever listens who came and left; without it nobody is told. */
  teller?: AudienceTeller;
  /** Differs from one start of a worker to the next. */
  workerId: string;
  now: () => Date;
  logger: Logger;
  /** Between two ticks, in milliseconds: 10,000 to 60,000. */
  everyMs?: number;
  /** Milliseconds of a clock that only moves forward. */
  clock?: () => number;
}

export interface AudienceTicker {
  /** Follows the topic that changes are told in, until {@link stop}. */
  run(): Promise<void>;
  stop(): Promise<void>;
  /** Works out what is due. Returns how many changes were logged; 0 when nothing is due, or another worker does it. */
  tick(): Promise<number>;
  /** Who may not be used any more for what an audience is for leaves it at once. For `onWithdrawn` of the withdrawer. */
  onWithdrawn(withdrawals: readonly Withdrawal[]): Promise<void>;
  /** Who was erased leaves all audiences, and whoever listens has been told: then their rows may go. */
  onErased(): Promise<void>;
}

/** So many share what they have in common; more would be too long a statement. */
const maxWorksAtOnce = 25;
const defaultEveryMs = 10_000;
/** Another worker that said nothing for longer is taken for dead. */
const standbyMs = 150_000;

export function createAudienceTicker(options: AudienceTickerOptions): AudienceTicker {
  const { store, ticks, compile, sites, teller, workerId, now, logger, everyMs = defaultEveryMs } = options;
  let lastTick = -Infinity;
  let isFirst = true;
  let isDoubted = false;
  let isUntold = false;
  let seen: string | undefined;
  /** When each was worked out last, and as which revision. */
  const done = new Map<string, { at: number; revision: number }>();
  let underWay: Promise<unknown> = Promise.resolve();

  /** One after another: both write under a turn. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = underWay.then(work, work);
    underWay = turn.catch(() => undefined);
    return turn;
  };

  const takeTurn = async (at: number, isForced: boolean): Promise<AudienceTurn | undefined> => {
    const turn = await ticks.takeTurn(workerId, at, { standbyMs, isForced: isForced || isFirst, isDoubted });
    if (turn === undefined) return undefined;
    isFirst = false;
    isDoubted = false;
    // A topic that is ahead of these tables (they were restored from a backup) would take new changes for told.
    return { ...turn, seq: Math.max(turn.seq, teller?.greatest() ?? 0) };
  };

  /** What went wrong in the middle is not known: the server may still be at it. */
  const doubting = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      isDoubted = true;
      done.clear();
      throw error;
    }
  };

  const workOut = async (at: number): Promise<number> => {
    const taken = await takeTurn(at, false);
    if (taken === undefined) return 0;
    let turn = taken;
    const first = turn.seq;
    await ticks.applyLog();
    const { audiences, unreadable } = await store.list();
    for (const { site, audience, fault } of unreadable)
      logger.error("an audience is not worked out: its definition cannot be read", { site, audience, fault });
    const moves = await ticks.identityMoves(turn, seen);
    const sizes = new Map((await ticks.lastSizes()).map((size) => [keyOf(size), size]));
    const changed = new Set<string>();
    /** Of those who stay while their definition is not asked: the version that they fulfilled. */
    const heldBy = new Map<string, number>();
    for (const site of sites()) {
      const ofSite = audiences.filter((audience) => audience.site === site.id);
      const due = ofSite.filter((audience) => isDue(audience, at));
      if (ofSite.every(({ state }) => state === "archived") && due.length === 0) continue;
      let context: AudienceContext | undefined;
      try {
        await ticks.workOutConsent(turn, site.id, at);
        if (due.length > 0) context = await contextOf(site, ofSite, at);
      } catch (error) {
        if (!isRefused(error)) throw error;
        // Without an answer nobody may be used for anything: all would leave.
        logger.warn("what the audiences of a site go by could not be asked: they stay as they were", {
          site: site.id,
          error: errorText(error),
        });
        continue;
      }
      const works: AudienceWork[] = [];
      for (const audience of due) {
        const size = sizes.get(keyOf(audience));
        if (audience.isAnonymous) {
          try {
            await workOutAnonymous(audience, { ...context!, audiences: definitionsOf(ofSite) }, size, at);
          } catch (error) {
            if (!isRefused(error)) throw error;
            warn(audience, error);
          }
          done.set(keyOf(audience), { at, revision: audience.revision });
        } else {
          const isNewVersion = size !== undefined && size.version !== audience.version;
          works.push({ audience, by: howToAsk(audience, context!), isNewVersion });
        }
      }
      for (let from = 0; from < works.length; from += maxWorksAtOnce)
        turn = await workOutTogether(works.slice(from, from + maxWorksAtOnce));

      async function workOutTogether(some: readonly AudienceWork[]): Promise<AudienceTurn> {
        try {
          const definitions = some.filter(({ by }) => by === "definition").map(({ audience }) => audience.definition);
          const compiled = definitions.length === 0 ? undefined : compile(definitions, context!);
          const seq = await ticks.logChanges(turn, some, { compiled, at, hasMoved: moves.hasMoved });
          for (const { audience, by } of some) {
            const key = keyOf(audience);
            const sized = sizes.get(key)?.version;
            if (by === "members") heldBy.set(key, sized ?? 0);
            if ((by !== "members" && sized !== audience.version) || !done.has(key)) changed.add(key);
            done.set(key, { at, revision: audience.revision });
          }
          return { ...turn, seq };
        } catch (error) {
          // Where nothing was answered, the server may still be writing.
          if (!isRefused(error)) throw error;
          turn = { ...turn, seq: await ticks.seqAfter(turn) };
          // A large one that was cut off may have left a part of it: who is in that must not come in again.
          await ticks.applyLog();
          // One that cannot be worked out holds up no other, and keeps only those who still may be in it.
          const [one] = some;
          if (some.length > 1) {
            for (const work of some) turn = await workOutTogether([work]);
          } else if (one !== undefined) {
            warn(one.audience, error);
            if (one.by === "definition") return workOutTogether([{ ...one, by: "members" }]);
          }
          return turn;
        }
      }
    }
    if (turn.seq > first) {
      await ticks.applyLog();
      for (const audience of await ticks.changedAfter(first)) changed.add(keyOf(audience));
    }
    await ticks.writeSizes(
      audiences
        .filter((audience) => !audience.isAnonymous && changed.has(keyOf(audience)))
        .map((audience) => ({ ...audience, version: heldBy.get(keyOf(audience)) ?? audience.version }))
        .filter(({ version }) => version > 0),
      at,
    );
    if (moves.signature !== seen) {
      await ticks.rememberIdentities(turn);
      seen = moves.signature === "" ? undefined : moves.signature;
    }
    return turn.seq - first;
  };

  const isDue = ({ revision, everySeconds, expiresAt, ...audience }: Audience, at: number): boolean => {
    const before = done.get(keyOf(audience));
    const isOver = expiresAt !== undefined && expiresAt <= at && audience.state !== "archived";
    return before === undefined || before.revision !== revision || at - before.at >= everySeconds * 1_000 || isOver;
  };

  const warn = ({ site, audience }: Audience, error: unknown): void =>
    logger.warn("an audience could not be worked out: nobody comes in, and who may not be used any more leaves", {
      site,
      audience,
      error: errorText(error),
    });

  const howToAsk = (audience: Audience, context: AudienceContext): AudienceWork["by"] => {
    if (audience.state !== "active") return audience.state === "archived" ? "nobody" : "members";
    try {
      compile([audience.definition], context);
      return "definition";
    } catch (error) {
      if (!(error instanceof AudienceError)) throw error;
      warn(audience, error);
      return "members";
    }
  };

  const workOutAnonymous = async (
    audience: Audience,
    context: AudienceContext,
    size: { people: number; isBelowFloor: boolean; version: number } | undefined,
    at: number,
  ): Promise<void> => {
    if (audience.state === "archived") {
      if (size !== undefined) await ticks.purgeSizes(audience.site, audience.audience);
      return;
    }
    if (audience.expiresAt !== undefined && audience.expiresAt <= at) {
      const revision = audience.revision + 1;
      await store.save({ ...audience, revision, state: "archived", at, actor: "polder", reason: "its time was over" });
      await ticks.purgeSizes(audience.site, audience.audience);
      logger.info("an anonymous audience has been archived: its time was over", {
        site: audience.site,
        audience: audience.audience,
      });
      return;
    }
    if (audience.state !== "active") return;
    const counted = await ticks.countAnonymous(audience, compile([audience.definition], context));
    if (
      size?.people !== counted.people ||
      size.isBelowFloor !== counted.isBelowFloor ||
      size.version !== audience.version
    )
      await ticks.writeAnonymousSize(audience, counted, at);
  };

  const contextOf = async (
    { id: site, timezone }: { id: string; timezone: string },
    audiences: readonly Audience[],
    at: number,
  ): Promise<AudienceContext> => ({
    site,
    now: new Date(at),
    timezone,
    // By another name nobody of an anonymous audience is told of either.
    audiences: definitionsOf(audiences.filter(({ isAnonymous }) => !isAnonymous)),
    computedTraits: (await options.computedTraits?.(site)) ?? new Map(),
  });

  const tell = async (): Promise<void> => {
    if (teller === undefined) return;
    isUntold = true;
    isUntold = !(await teller.tell());
  };

  /** Between two ticks. */
  const leave = async (log: (turn: AudienceTurn, at: number) => Promise<number>): Promise<void> => {
    const at = now().getTime();
    await doubting(async () => {
      const turn = await takeTurn(at, true);
      if (turn === undefined) throw new Error("another worker works audiences out at this moment");
      await ticks.applyLog();
      if ((await log(turn, at)) > turn.seq) await ticks.applyLog();
    });
    // Sizes have changed: the next tick counts all.
    done.clear();
    isUntold = teller !== undefined;
  };

  return {
    run: async () => teller?.run(),
    stop: async () => teller?.stop(),

    tick: () =>
      inTurn(async () => {
        const at = now().getTime();
        if (at - lastTick < everyMs && at >= lastTick) {
          if (isUntold) await tell();
          return 0;
        }
        const logged = await doubting(() => workOut(at));
        lastTick = at;
        await tell();
        return logged;
      }),

    onWithdrawn: (withdrawals) =>
      inTurn(async () => {
        for (const [site, persons] of bySite(withdrawals))
          await leave((turn, at) => ticks.logWithdrawn(turn, site, persons, at));
      }),

    onErased: () =>
      inTurn(async () => {
        await leave(ticks.logErased);
        if (isUntold) await tell();
        if (isUntold) throw new Error("who was erased has left the audiences, and the topic is not told yet");
      }),
  };
}

/** A statement that ClickHouse refused, or a definition that cannot be asked: nothing is under way any more. */
const isRefused = (error: unknown): boolean => error instanceof ClickHouseQueryError || error instanceof AudienceError;

const definitionsOf = (audiences: readonly Audience[]): ReadonlyMap<string, AudienceDefinition> =>
  new Map(
    audiences.filter(({ state }) => state !== "archived").map(({ audience, definition }) => [audience, definition]),
  );

const keyOf = ({ site, audience }: { site: string; audience: string }): string => `${site} ${audience}`;

function bySite(withdrawals: readonly Withdrawal[]): Map<string, number[]> {
  const sites = new Map<string, number[]>();
  for (const { site, person } of withdrawals) sites.set(site, [...(sites.get(site) ?? []), person]);
  return sites;
}
