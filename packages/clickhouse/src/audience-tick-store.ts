import { purposes } from "@polder/protocol";

import { timeText, type Audience } from "./audience-store.ts";
import type { CompiledAudience } from "./audiences/compile-audience.ts";
import { quoteName, quoteText, type ClickHouse } from "./clickhouse.ts";
import { endsOfConsent, nextEndOfArrived } from "./consent/ends-of-consent.ts";
import { personConsent } from "./consent/person-consent.ts";
import { grantTermQuery } from "./consent/person-consent-of.ts";
import { nodesOfEdge } from "./erased-tables.ts";

export interface AudienceTickStoreOptions {
  clickhouse: ClickHouse;
  /** Name of the cluster: statements of a worker that is gone are ended on every node. */
  cluster?: string;
  /** Who may be used for what; {@link personConsent} when not given. */
  consent?: typeof personConsent;
}

/** The right to write, until somebody else takes it. */
export interface AudienceTurn {
  n: number;
  worker: string;
  /** Greatest number that is in use in `audience_log`. */
  seq: number;
}

/** One row of `audience_log`. */
export interface AudienceChange {
  seq: number;
  site: string;
  audience: string;
  person: number;
  change: "enter" | "exit";
  reason: AudienceReason;
  survivor: number;
  /** Milliseconds since 1970. */
  at: number;
  version: number;
}

export type AudienceReason = "enter" | "exit" | "merged" | "split" | "consent" | "erased" | "definition";

/** One audience of a tick. */
export interface AudienceWork {
  audience: Audience;
  /** Who should be in it: whoever fulfils the definition; those who are, but for who is merged, erased, or may not be used any more; or nobody. */
  by: "definition" | "members" | "nobody";
  /** It was never worked out with this definition, but with another one. */
  isNewVersion: boolean;
}

/** What identities have done since audiences were worked out last. */
export interface IdentityMoves {
  /** Some atom belongs to another person than then. */
  hasMoved: boolean;
  /** Changes whenever there may be something new. */
  signature: string;
}

/**
 * The writes of a tick, in their order. `audience_log` is the truth, the rest follows from it: after a crash between any two, the next tick brings it
 * up and finds what is missing.
 */
export interface AudienceTickStore {
  /**
   * Takes the next turn. Undefined when another worker had one within `standbyMs`, or is faster. From then on nothing of an earlier turn is written,
   * and what the server was still doing for another worker is ended.
   * @param options.isForced do not stand by.
   * @param options.isDoubted this worker does not know what became of its last statement.
   */
  takeTurn(
    worker: string,
    at: number,
    options: { standbyMs: number; isForced: boolean; isDoubted: boolean },
  ): Promise<AudienceTurn | undefined>;
  /** The greatest number in use by now. */
  seqAfter(turn: AudienceTurn): Promise<number>;
  /** Brings `audience_member` to what `audience_log` says. Any number of times. */
  applyLog(): Promise<void>;
  /** By site and audience, of the size that was written last. */
  lastSizes(): Promise<{ site: string; audience: string; version: number; people: number; isBelowFloor: boolean }[]>;
  /**
   * What came to be before this moment is seen by this turn; the rest, also what comes while it is under way, is left to the next.
   * @param seen the signature up to which {@link rememberIdentities} was told, undefined when never.
   */
  identityMoves(turn: AudienceTurn, seen: string | undefined): Promise<IdentityMoves>;
  /**
   * Works out who of a site may be used for what at a moment, of those of whom something happened or came of age since the turn before and once an
   * hour of all: what {@link logChanges} and {@link countAnonymous} go by. On every turn, after {@link identityMoves} and before {@link rememberIdentities}.
   */
  workOutConsent(turn: AudienceTurn, site: string, at: number): Promise<void>;
  /**
   * Works out audiences of one site and logs who comes and goes, of all of them or of none. Returns the greatest number in use afterwards.
   * @param works a hundred at most
   * @param options.compiled those by definition, as `compileAudiences` gives them, in their order; undefined where there is none.
   */
  logChanges(
    turn: AudienceTurn,
    works: readonly AudienceWork[],
    options: { compiled: CompiledAudience | undefined; at: number; hasMoved: boolean },
  ): Promise<number>;
  /** Who of these people may not be used any more for what an audience is for leaves it now. */
  logWithdrawn(turn: AudienceTurn, site: string, persons: readonly number[], at: number): Promise<number>;
  /** Who is nobody any more leaves every audience now. */
  logErased(turn: AudienceTurn, at: number): Promise<number>;
  /** The size as members say. */
  writeSizes(audiences: readonly Audience[], at: number): Promise<void>;
  /**
   * Counts an anonymous audience, and never tells a number below its floor.
   * @param compiled it alone, as `compileAudiences` gives it
   */
  countAnonymous(audience: Audience, compiled: CompiledAudience): Promise<{ people: number; isBelowFloor: boolean }>;
  writeAnonymousSize(audience: Audience, size: { people: number; isBelowFloor: boolean }, at: number): Promise<void>;
  /** Removes the sizes of an audience. */
  purgeSizes(site: string, audience: string): Promise<void>;
  /** What {@link identityMoves} saw on this turn has been looked at. */
  rememberIdentities(turn: AudienceTurn): Promise<void>;
  /** The audiences that somebody came into or left. */
  changedAfter(seq: number): Promise<{ site: string; audience: string }[]>;
  /** Of the log in the order of its numbers. */
  changesAfter(seq: number, limit: number): Promise<AudienceChange[]>;
  /** By partition of the topic: all that belong there up to this number are in it. */
  toldUpTo(log: string): Promise<ReadonlyMap<number, number>>;
  markTold(log: string, seqs: ReadonlyMap<number, number>): Promise<void>;
}

/** What every statement of a tick writes is new each time: nothing to compare with what came before. */
const freely = { async_insert: 0, insert_deduplicate: 0, deduplicate_insert: "disable" } as const;

const bits = `transform(purpose, [${purposes.map((purpose) => quoteText(purpose)).join(", ")}], [${purposes.map((_, bit) => `toUInt8(${bit})`).join(", ")}], toUInt8(255))`;

export function createAudienceTickStore(options: AudienceTickStoreOptions): AudienceTickStore {
  const { clickhouse, cluster, consent = personConsent } = options;
  const onCluster = cluster === undefined ? "" : `ON CLUSTER ${quoteName(cluster)}`;
  const comment = `polder audiences ${clickhouse.database}`;
  // The server gives up before the client does, so that it is known what became of a statement.
  const settings = { ...freely, log_comment: comment, max_execution_time: 45 };

  /** By site: what `audience_permit` says. */
  const permits = new Map<string, Permit>();
  /** Sites whose consent was worked out since {@link AudienceTickStore.identityMoves} looked. */
  const workedOut = new Set<string>();
  /** As {@link AudienceTickStore.identityMoves} saw them last: the signature, and of the last version its number and how many rows it has. */
  let identities: { signature: string; settled: [string, string] } = { signature: "", settled: ["0", "0"] };

  const lastTurn = async (): Promise<{ n: number; worker: string; at: number; seq: number } | undefined> => {
    const [row] = await clickhouse.query<{ n: number; worker: string; at: number; seq: number }>(
      `SELECT n, worker, toUnixTimestamp64Milli(t.at) AS at, seq FROM audience_tick AS t ORDER BY n DESC LIMIT 1`,
    );
    return row;
  };
  const greatestSeq = async (atLeast: number): Promise<number> => {
    const [row] = await clickhouse.query<{ seq: number }>("SELECT max(seq) AS seq FROM audience_log");
    return Math.max(row?.seq ?? 0, atLeast);
  };
  const seqAfter = (turn: AudienceTurn): Promise<number> => greatestSeq(turn.seq);

  // A turn that is over writes nothing. What it had begun before is ended by who takes the next one.
  const isTurn = "(SELECT max(n) FROM audience_tick) = {tick_turn:UInt64}";

  return {
    async takeTurn(worker, at, { standbyMs, isForced, isDoubted }) {
      const last = await lastTurn();
      const isAnothers = last !== undefined && last.worker !== worker;
      if (isAnothers && !isForced && at - last.at < standbyMs) return undefined;
      const n = (last?.n ?? 0) + 1;
      const before = await greatestSeq(last?.seq ?? 0);
      await clickhouse.insertRows("audience_tick", [{ what: "audiences", n, worker, at: timeText(at), seq: before }], {
        settings: {
          insert_deduplicate: 1,
          deduplicate_insert: "enable",
          insert_deduplication_token: `audience_tick:${n}`,
        },
      });
      const now = await lastTurn();
      if (now?.n !== n || now.worker !== worker) return undefined;
      if (isAnothers || isDoubted) {
        // Nothing that is remembered counts.
        permits.clear();
        await clickhouse.command(`KILL QUERY ${onCluster} WHERE Settings['log_comment'] = ${quoteText(comment)} SYNC`);
      }
      return { n, worker, seq: await greatestSeq(before) };
    },

    seqAfter,

    async applyLog() {
      // In their order: what is cut off between two blocks has written a beginning, and goes on after it.
      await clickhouse.command(
        `INSERT INTO audience_member (site, audience, person, since, version, seq, has_left)
         SELECT site, audience, person, at, version, seq, change = 'exit' FROM audience_log
         WHERE seq > (SELECT max(seq) FROM audience_member) ORDER BY seq`,
        { settings },
      );
    },

    async lastSizes() {
      const rows = await clickhouse.query<{
        site: string;
        audience: string;
        version: number;
        people: number;
        below: number;
      }>(
        `SELECT site, audience, argMax(s.version, s.at) AS version, argMax(s.people, s.at) AS people, argMax(s.is_below_floor, s.at) AS below
         FROM audience_size AS s GROUP BY site, audience`,
      );
      return rows.map(({ below, ...row }) => ({ ...row, isBelowFloor: below === 1 }));
    },

    async identityMoves({ n }, seen) {
      workedOut.clear();
      const [now] = await clickhouse.query<typeof identities>(
        `SELECT (SELECT ${identitySignature} FROM identity) AS signature,
           (SELECT (toString(max(version)), toString(argMax(rows, version))) FROM (
              SELECT version, count() AS rows FROM identity WHERE version < ${erasedVersion} GROUP BY version)) AS settled`,
      );
      identities = now!;
      const { signature } = identities;
      if (signature === seen) return { hasMoved: false, signature };
      // Before it is looked at: what comes afterwards is another one than what is remembered, and so seen again.
      await clickhouse.command(
        `INSERT INTO audience_identity (atom, person, version, n, is_pending)
         SELECT atom, person(atom), version, {n:UInt64}, true FROM identity FINAL
         WHERE (atom, version) NOT IN (SELECT atom, version FROM ${rememberedIdentities})
         UNION ALL
         SELECT atom, person(atom), version, {n:UInt64}, true FROM ${rememberedIdentities} WHERE person(atom) != person`,
        { params: { n }, settings },
      );
      const [row] = await clickhouse.query<{ moved: number; behind: number }>(
        `SELECT (SELECT count() FROM ${rememberedIdentities} WHERE person(atom) != person) AS moved,
           (SELECT count() FROM identity FINAL WHERE person(atom) != person) AS behind`,
      );
      // As long as the dictionary is behind the table there is more to come.
      if ((row?.behind ?? 0) > 0) identities.signature = "";
      return { hasMoved: (row?.moved ?? 0) > 0, signature: identities.signature };
    },

    async workOutConsent({ n }, site, at) {
      workedOut.add(site);
      const [now] = await clickhouse.query<
        Pick<Permit, "from" | "flags" | "decisions" | "others" | "term"> & { positions: Positions }
      >(consentSources, { params: { site } });
      const { positions, ...sources } = now!;
      const seen = { ...sources, identities: identities.signature, settled: identities.settled };
      const before = permits.get(site);
      permits.delete(site);
      const isOnlyOfSome =
        before !== undefined &&
        at >= before.at &&
        at - before.fullAt < fullConsentEveryMs &&
        before.others === seen.others &&
        before.flags <= seen.flags;
      const has = (...keys: (keyof typeof seen)[]): boolean =>
        isOnlyOfSome && JSON.stringify(keys.map((key) => before[key])) === JSON.stringify(keys.map((key) => seen[key]));
      const isOver = !isOnlyOfSome || at >= before.nextEnd;
      const hasArrived = String(before?.from) !== String(positions);
      if (has("flags", "decisions", "identities") && !isOver && !hasArrived) {
        permits.set(site, { ...before, at });
        return;
      }
      const bitmaps = (old: (purpose: string) => string): string =>
        purposes
          .map((purpose, bit) => {
            const now_ = `groupBitmapStateIf(person_id, bitTest(mask, ${bit}))`;
            const rest = old(purpose);
            return `(${quoteText(purpose)}, ${rest === "" ? now_ : `bitmapOr(${rest}, ${now_})`})`;
          })
          .join(", ");
      const insert =
        "INSERT INTO audience_permit (site, purpose, n, people) SELECT {site:String}, tupleElement(each, 1), {tick_turn:UInt64}, tupleElement(each, 2)";
      const params = { site, now: at, tick_turn: n };
      const { term } = seen;
      const ends = isOver
        ? await endsOfConsent(clickhouse, { site, after: isOnlyOfSome ? before.at : at, at, term })
        : undefined;
      if (isOnlyOfSome) {
        // A position can be seen before the rows: an insert that broke off between two tables is in some of them, for as long as it takes to repeat it.
        const from = new Map(before.from);
        const arrived = positions
          .map(
            ([partition, offset]) =>
              `(_partition = ${partition} AND _offset > ${from.get(partition) ?? -1} AND _offset <= ${offset})`,
          )
          .join(" OR ");
        // A settling writes several times under one version: where anything came, all of the version that was the last one counts.
        const [version] = before.settled;
        const what: Concerned = {
          arrived: hasArrived ? arrived : "",
          settledSince: has("settled") ? "" : `version >= ${version}`,
          hasFlags: !has("flags"),
          hasDecisions: !has("decisions"),
        };
        await clickhouse.command(
          `${insert} FROM (
             WITH (SELECT groupBitmapState(person_id) FROM (${concerned(what)})) AS tick_concerned
             SELECT arrayJoin([${bitmaps((purpose) => `bitmapAndnot((SELECT groupBitmapMergeState(people) FROM audience_permit WHERE site = {site:String} AND purpose = '${purpose}' AND n = {tick_before:UInt64}), tick_concerned)`)}]) AS each
             FROM ${consent({ people: "SELECT arrayJoin(bitmapToArray(tick_concerned)) AS person_id" })})`,
          { params: { ...params, tick_before: before.n, tick_ended: ends?.ended ?? [] }, settings },
        );
        const nextEnd = Math.min(
          ends?.nextEnd ?? before.nextEnd,
          what.arrived === "" ? Infinity : await nextEndOfArrived(clickhouse, { site, arrived, at, term }),
        );
        permits.set(site, { ...seen, n, at, fullAt: before.fullAt, nextEnd });
      } else {
        await clickhouse.command(
          `${insert} FROM (SELECT arrayJoin([${bitmaps(() => "")}]) AS each FROM ${consent()})`,
          { params, settings },
        );
        permits.set(site, { ...seen, n, at, fullAt: at, nextEnd: ends!.nextEnd });
      }
    },

    async logChanges(turn, works, { compiled, at, hasMoved }) {
      const { site } = works[0]!.audience;
      await clickhouse.command(changes(works, compiled?.sql, hasMoved), {
        params: {
          ...compiled?.params,
          site,
          tick_audiences: works.map(({ audience }) => audience.audience),
          tick_versions: works.map(({ audience }) => audience.version),
          tick_purposes: works.map(({ audience }) => audience.purpose),
          tick_are_new: works.map(({ isNewVersion, by }) => (isNewVersion || by === "nobody" ? 1 : 0)),
          tick_first: turn.seq,
          tick_at: at,
          tick_turn: turn.n,
          tick_permit: permits.get(site)?.n ?? 0,
        },
        settings: { ...settings, max_query_size: 4_194_304 },
      });
      return seqAfter(turn);
    },

    async logWithdrawn(turn, site, persons, at) {
      for (let from = 0; from < persons.length; from += maxPersonsAtOnce) {
        const some = persons.slice(from, from + maxPersonsAtOnce);
        await clickhouse.command(withdrawn(consent), {
          params: {
            site,
            now: at,
            tick_persons: some,
            tick_first: await seqAfter(turn),
            tick_at: at,
            tick_turn: turn.n,
          },
          settings,
        });
      }
      return seqAfter(turn);
    },

    async logErased(turn, at) {
      await clickhouse.command(erased, { params: { tick_first: turn.seq, tick_at: at, tick_turn: turn.n }, settings });
      return seqAfter(turn);
    },

    async writeSizes(audiences, at) {
      if (audiences.length === 0) return;
      await clickhouse.command(sizes, {
        params: {
          tick_keys: audiences.map(({ site, audience }) => `${site} ${audience}`),
          tick_versions: audiences.map(({ version }) => version),
          tick_at: at,
        },
        settings,
      });
    },

    async countAnonymous({ site, purpose, sizeFloor }, compiled) {
      const [row] = await clickhouse.query<{ people: number; below: number }>(
        `WITH (SELECT a0 FROM (${compiled.sql})) AS tick_matching, ${permitted} AS tick_permitted,
           bitmapCardinality(bitmapAnd(tick_matching, tick_permitted)) AS tick_counted, tick_counted < {tick_floor:UInt32} AS below
         SELECT if(below, 0, tick_counted) AS people, below`,
        {
          params: {
            ...compiled.params,
            site,
            tick_permit: permits.get(site)?.n ?? 0,
            tick_purpose: purpose,
            tick_floor: sizeFloor,
          },
        },
      );
      return { people: row?.people ?? 0, isBelowFloor: row?.below !== 0 };
    },

    async writeAnonymousSize({ site, audience, version }, { people, isBelowFloor }, at) {
      const hour = at - (at % 3_600_000);
      const row = {
        site,
        audience,
        hour: hour / 1_000,
        at: timeText(at),
        version,
        people,
        is_below_floor: isBelowFloor ? 1 : 0,
      };
      await clickhouse.insertRows("audience_size", [row], { settings });
    },

    async purgeSizes(site, audience) {
      await clickhouse.command(
        `ALTER TABLE audience_size ${onCluster} DELETE WHERE site = {site:String} AND audience = {audience:String}`,
        { params: { site, audience }, settings: { mutations_sync: 2 }, isLong: true },
      );
    },

    async rememberIdentities({ n }) {
      // Where nobody looked, what is remembered now is nothing that changes later.
      for (const site of permits.keys()) if (!workedOut.has(site)) permits.delete(site);
      await clickhouse.command(
        `INSERT INTO audience_identity (atom, person, version, n, is_pending)
         SELECT atom, person, version, n, false FROM audience_identity FINAL WHERE is_pending AND n = {n:UInt64}`,
        { params: { n }, settings },
      );
    },

    changedAfter: (seq) =>
      clickhouse.query<{ site: string; audience: string }>(
        "SELECT DISTINCT site, audience FROM audience_log WHERE seq > {seq:UInt64}",
        { params: { seq } },
      ),

    changesAfter: (seq, limit) =>
      clickhouse.query<AudienceChange>(
        `SELECT seq, site, audience, person, change, reason, survivor, toUnixTimestamp64Milli(l.at) AS at, version
         FROM audience_log AS l WHERE seq > {seq:UInt64} ORDER BY seq LIMIT {limit:UInt32}`,
        { params: { seq, limit } },
      ),

    async toldUpTo(log) {
      const rows = await clickhouse.query<{ partition: number; told: number }>(
        "SELECT partition, max(seq) AS told FROM audience_told WHERE log = {log:String} GROUP BY partition",
        { params: { log } },
      );
      return new Map(rows.map(({ partition, told }) => [partition, told]));
    },

    async markTold(log, seqs) {
      await clickhouse.insertRows(
        "audience_told",
        [...seqs].map(([partition, seq]) => ({ log, partition, seq })),
        {
          settings: freely,
        },
      );
    },
  };

  function changes(works: readonly AudienceWork[], question: string | undefined, hasMoved: boolean): string {
    const placesOf = (by: AudienceWork["by"]): number[] =>
      works.flatMap((work, index) => (work.by === by ? [index + 1] : []));
    const matching = placesOf("definition").map((place, index) => `(toUInt8(${place}), a${index})`);
    const kept = placesOf("members");
    const held = `SELECT toUInt8(indexOf({tick_audiences:Array(String)}, m.audience::String)) AS k, m.person AS person
      FROM audience_member AS m FINAL WHERE m.site = {site:String} AND m.audience IN {tick_audiences:Array(String)}`;
    const sources = [
      ...(question === undefined || matching.length === 0
        ? []
        : [
            `SELECT each.1 AS k, 0 AS n, each.2 AS people FROM (SELECT arrayJoin([${matching.join(", ")}]) AS each FROM (${question}))`,
          ]),
      ...(kept.length === 0
        ? []
        : [
            `SELECT k, 0 AS n, groupBitmapState(person(person)) AS people FROM (${held}) WHERE k IN (${kept.join(", ")}) AND person(person) != 0 GROUP BY k`,
          ]),
      `SELECT k, 1 AS n, groupBitmapState(person) AS people FROM (${held}) GROUP BY k`,
      `SELECT k, 2 AS n, groupBitmapMergeState(allowed) AS people FROM (
        SELECT arrayJoin(arrayFilter(k -> {tick_purposes:Array(String)}[k] = p.purpose, arrayMap(k -> toUInt8(k), arrayEnumerate({tick_purposes:Array(String)})))) AS k, p.people AS allowed
        FROM audience_permit AS p WHERE p.site = {site:String} AND p.n = {tick_permit:UInt64}) GROUP BY k`,
    ];
    const moved = `SELECT person AS was, person(atom) AS became FROM ${rememberedIdentities} WHERE person(atom) != person AND person(atom) != 0`;
    const hasSplit = hasMoved ? `p IN (SELECT was FROM (${moved}))` : "0";
    // What somebody who comes in had been part of: by number, since few have moved.
    const parts = hasMoved
      ? `(SELECT (groupArray(became), groupArray(was)) FROM (SELECT DISTINCT became, was FROM (${moved})))`
      : "([]::Array(UInt32), []::Array(UInt32))";
    // Sets are columns of one row. As constants of the statement they would be written out wherever they are named, at many times the cost of the answer.
    return `
INSERT INTO audience_log (seq, site, audience, person, change, reason, survivor, at, version)
WITH ${parts} AS tick_parts
SELECT
  {tick_first:UInt64} + row_number() OVER (ORDER BY k, entering, p),
  {site:String},
  {tick_audiences:Array(String)}[k],
  p,
  if(entering, 'enter', 'exit'),
  multiIf(
    NOT entering AND person(p) = 0, 'erased',
    NOT entering AND person(p) != p, 'merged',
    entering AND tick_is_survivor, 'merged',
    NOT entering AND NOT tick_is_permitted, 'consent',
    NOT entering AND ${hasSplit}, 'split',
    entering AND tick_part_of != 0, 'split',
    {tick_are_new:Array(UInt8)}[k] = 1, 'definition',
    entering, 'enter', 'exit'),
  multiIf(NOT entering AND person(p) != p, person(p), entering AND NOT tick_is_survivor, tick_part_of, 0),
  fromUnixTimestamp64Milli({tick_at:Int64}),
  {tick_versions:Array(UInt32)}[k]
FROM (
  SELECT k, each.1 AS p, each.2 AS entering, each.3 AS tick_is_permitted, each.4 AS tick_is_survivor, each.5 AS tick_part_of
  FROM (
    SELECT k, arrayJoin(arrayConcat(
      arrayMap(p -> (p, false, bitmapContains(tick_permitted, p), false, toUInt32(0)), bitmapToArray(bitmapAndnot(tick_held, tick_fresh))),
      arrayMap(p -> (p, true, true, bitmapContains(tick_survivors, p), if(bitmapContains(tick_became, p),
        arrayMin(arrayFilter((was, became) -> became = p AND bitmapContains(tick_held, was), tick_parts.2, tick_parts.1)), toUInt32(0))),
        bitmapToArray(bitmapAndnot(tick_fresh, tick_held))))) AS each
    FROM (
      SELECT k, tick_held, tick_permitted, bitmapAnd(tick_matching, tick_permitted) AS tick_fresh,
        arrayReduce('groupBitmapState', arrayMap(p -> person(p), arrayFilter(p -> person(p) != p, bitmapToArray(tick_held)))) AS tick_survivors,
        arrayReduce('groupBitmapState', arrayFilter((became, was) -> bitmapContains(tick_held, was), tick_parts.1, tick_parts.2)) AS tick_became
      FROM (
        SELECT k, groupBitmapMergeStateIf(people, n = 0) AS tick_matching, groupBitmapMergeStateIf(people, n = 1) AS tick_held,
          groupBitmapMergeStateIf(people, n = 2) AS tick_permitted
        FROM (${sources.join("\nUNION ALL\n")})
        GROUP BY k
      )
    )
  )
)
WHERE ${isTurn}`;
  }
}

/** By partition of the log, in their order. */
type Positions = readonly (readonly [partition: number, offset: number])[];

/** What `audience_permit` says of a site, and what it follows from. */
interface Permit {
  /** Its turn, and the moments for which it was worked out, of somebody and of everybody. */
  n: number;
  at: number;
  fullAt: number;
  /** Up to where all rows were in all tables, as the loader says. */
  from: Positions;
  /** How many there are of the site. */
  flags: number;
  decisions: number;
  /** As {@link AudienceTickStore.identityMoves} saw them. */
  identities: string;
  settled: [string, string];
  /** Of everything after which everybody is worked out. */
  others: string;
  /** Days that a yes counts. */
  term: number;
  /** Nobody's yes becomes too old before this moment. */
  nextEnd: number;
}

/** More than a loader inserts at a time: for a partition of which no loader has said how far it is. */
const rowsUnderWay = 30_000;
const ofSite = (table: string): string => `(SELECT count() FROM ${table} WHERE site = {site:String})`;
const consentSources = `
WITH (SELECT (arraySort(groupArray((p, o))), arraySort(groupArray((p, if(next = 0, o - ${rowsUnderWay}, least(o, next - 1)))))) FROM (
    SELECT _partition AS p, toInt64(max(l._offset)) AS o FROM log_position AS l WHERE table_name = 'events' GROUP BY p) AS stored
  LEFT JOIN (
    SELECT l.partition AS p, toInt64(max(l.next_offset)) AS next FROM ledger_progress AS l WHERE topic = 'polder.events' GROUP BY p) AS loaded USING p
) AS read
SELECT read.1 AS positions, read.2 AS from,
  ${ofSite("person_flag")} AS flags, ${ofSite("identity_decision")} AS decisions, (${grantTermQuery}) AS term,
  concat(toString(${ofSite("consent_receipt")}), ' ', toString(${ofSite("erasure_receipt")}), ' ', toString(term)) AS others`;

/** Of an identity that was erased: greater than every other, and for good. Whoever is erased is worked out with all others. */
const erasedVersion = "18446744073709551615";
/** Who belonged to whom as audiences saw it last. */
const rememberedIdentities = "(SELECT atom, person, version FROM audience_identity FINAL WHERE NOT is_pending)";
/** Changes with every row, also of a version that was there before. */
const identitySignature = "toString(sum(cityHash64(atom, version)))";

const maxPersonsAtOnce = 5_000;
/** Retention takes rows away whenever parts are merged, within hours of their day, and nothing tells of it. */
const fullConsentEveryMs = 3_600_000;

interface Concerned {
  /** Conditions on `events` and on `identity`; empty: none of their rows. */
  arrived: string;
  settledSince: string;
  hasFlags: boolean;
  hasDecisions: boolean;
}

/**
 * Whose consent may be another one: of whom something arrived, whose yes became too old, who became part of somebody or was split, and who uses the
 * same browser, since a browser speaks for all who use it. Those who were and are no more are among them. Where there are more flags or decisions than
 * before, everybody who ever had one.
 */
const concerned = ({ arrived, settledSince, hasFlags, hasDecisions }: Concerned): string => {
  const atoms = [
    "SELECT arrayJoin({tick_ended:Array(UInt32)}) AS atom",
    `SELECT atom FROM ${rememberedIdentities} WHERE person(atom) != person`,
    ...(arrived === "" ? [] : [`SELECT atom FROM events WHERE site = {site:String} AND atom != 0 AND (${arrived})`]),
    ...(settledSince === "" ? [] : [`SELECT atom FROM identity WHERE ${settledSince} AND version < ${erasedVersion}`]),
    ...(hasFlags ? [`SELECT atom FROM atom WHERE site = {site:String} AND ${isFlagged}`] : []),
    ...(hasDecisions ? [`SELECT atom FROM atom WHERE site = {site:String} AND ${isDecidedAbout}`] : []),
  ].join("\n      UNION DISTINCT ");
  const changed = `SELECT arrayJoin(bitmapToArray((SELECT groupBitmapState(atom) FROM (${atoms})))) AS atom`;
  return `SELECT person(atom) AS person_id FROM atom WHERE site = {site:String} AND (atom IN (${changed}) OR (anonymous_id != '' AND anonymous_id IN (
      SELECT anonymous_id FROM atom WHERE site = {site:String} AND atom IN (${changed}))))
    UNION ALL ${changed}
    UNION ALL SELECT person FROM ${rememberedIdentities} WHERE person(atom) != person`;
};
const isFlagged = `(key IN (SELECT cityHash64(anonymous_id, user_id) FROM person_flag WHERE site = {site:String})
        OR user_id IN (SELECT user_id FROM person_flag WHERE site = {site:String} AND user_id != ''))`;
const nodesOfDecisions = `arrayConcat([left, right], arrayFlatten(arrayMap(edge -> ${nodesOfEdge("edge")}, edges)))`;
const decidedAbout = (kind: string): string =>
  `SELECT substring(node, ${kind.length + 2}) FROM (SELECT arrayJoin(${nodesOfDecisions}) AS node FROM identity_decision WHERE site = {site:String}) WHERE startsWith(node, '${kind}:')`;
const isDecidedAbout = `(user_id IN (${decidedAbout("user")}) OR anonymous_id IN (${decidedAbout("device")}))`;

/** Who may be used for the purpose, as {@link AudienceTickStore.workOutConsent} said. */
const permittedState =
  "groupBitmapMergeState(people) FROM audience_permit WHERE site = {site:String} AND purpose = {tick_purpose:String} AND n = {tick_permit:UInt64}";
const permitted = `(SELECT ${permittedState})`;

/** Of audiences that are paused too. */
const withdrawn = (consent: typeof personConsent): string => `
INSERT INTO audience_log (seq, site, audience, person, change, reason, survivor, at, version)
SELECT {tick_first:UInt64} + row_number() OVER (ORDER BY m.audience, m.person), m.site, m.audience, m.person, 'exit', 'consent', 0,
  fromUnixTimestamp64Milli({tick_at:Int64}), a.version
FROM (SELECT site, audience, person, person(person) AS person_id FROM audience_member FINAL
  WHERE site = {site:String} AND person(person) IN {tick_persons:Array(UInt32)}) AS m
JOIN (SELECT site, audience, version, ${bits} AS bit FROM audience WHERE site = {site:String} ORDER BY revision DESC LIMIT 1 BY audience) AS a
  ON a.audience = m.audience
LEFT JOIN ${consent({ people: "SELECT arrayJoin({tick_persons:Array(UInt32)}) AS person_id" })} AS c ON c.person_id = m.person_id
WHERE NOT bitTest(c.mask, a.bit) AND (SELECT max(n) FROM audience_tick) = {tick_turn:UInt64}`;

const erased = `
INSERT INTO audience_log (seq, site, audience, person, change, reason, survivor, at, version)
SELECT {tick_first:UInt64} + row_number() OVER (ORDER BY site, audience, person), site, audience, person, 'exit', 'erased', 0,
  fromUnixTimestamp64Milli({tick_at:Int64}), version
FROM audience_member FINAL
WHERE person(person) = 0 AND (SELECT max(n) FROM audience_tick) = {tick_turn:UInt64}`;

// Whose identities they are is joined last: of every member there is one row, and few have other identities.
const sizes = `
INSERT INTO audience_size (site, audience, hour, at, version, people, is_below_floor, atoms)
WITH
  wanted AS (
    SELECT splitByChar(' ', pair.1)[1] AS site, splitByChar(' ', pair.1)[2] AS audience, pair.2 AS version
    FROM (SELECT arrayJoin(arrayZip({tick_keys:Array(String)}, {tick_versions:Array(UInt32)})) AS pair)),
  members AS (
    SELECT site, audience, person FROM audience_member FINAL WHERE (site, audience) IN (SELECT site, audience FROM wanted))
SELECT w.site, w.audience, toStartOfHour(fromUnixTimestamp64Milli({tick_at:Int64}, 'UTC')), fromUnixTimestamp64Milli({tick_at:Int64}),
  w.version, bitmapCardinality(own.people), 0, bitmapOr(own.people, others.atoms)
FROM wanted AS w
LEFT JOIN (SELECT site, audience, groupBitmapState(person) AS people FROM members GROUP BY site, audience) AS own
  ON own.site = w.site AND own.audience = w.audience
LEFT JOIN (
  SELECT m.site AS site, m.audience AS audience, groupBitmapState(i.atom) AS atoms
  FROM members AS m JOIN (SELECT atom, person FROM identity FINAL WHERE atom != person) AS i ON i.person = m.person
  GROUP BY site, audience
) AS others ON others.site = w.site AND others.audience = w.audience`;
