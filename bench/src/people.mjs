import { join } from "node:path";
import {
  compileAudience,
  createAudienceStore,
  createComputedTraitStore,
  createErasureStore,
  createIdentityStore,
  createReadQueries,
} from "@polder/clickhouse";
import { createAudiences, createEraser, createWorker } from "@polder/worker";
import { Registry } from "prom-client";
import { report } from "./report.mjs";
import { median, quantile } from "./support/http-load.mjs";
import { copyOf, endsAt, preparedFolder, site, withDatabase } from "./support/people-data.mjs";
import { quiet, withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "questions about people on 5,000,000 events of 500,000 visitors, beside the same questions on raw events with a join to the truth";
export const needs =
  "the embedded engine, 4 GB of disk and, the first time, ten minutes; `-- people --events 200000` is a small one";

const rounds = 7;
const profiles = 100;
const erased = 1_000;
const dayMs = 86_400_000;

/** @param {{ args: string[] }} context */
export async function run({ args }) {
  const given = args.indexOf("--events");
  const eventCount = given === -1 ? 5_000_000 : Number(args[given + 1]);
  const prepared = await preparedFolder(eventCount, (line) => process.stderr.write(`${line}\n`));
  await withTemporaryFolder(async (folder) => {
    const path = join(folder, "clickhouse");
    copyOf(prepared, path);
    await withDatabase(path, async (clickhouse) => {
      const bench = { clickhouse, rows: [], figures: {} };
      for (const measure of [rebuild, askAudience, askInTurn, tick, readProfiles, erase]) {
        const before = bench.rows.length;
        await measure(bench);
        for (const row of bench.rows.slice(before)) process.stderr.write(`${JSON.stringify(row)}\n`);
      }
      report({
        bench: `people (${eventCount.toLocaleString("en-GB")} events)`,
        rows: bench.rows,
        figures: bench.figures,
        targets: {
          profile_p50_ms: { max: 15 },
          profile_by_user_id_p50_ms: { max: 15 },
          audience_ms: { max: 100 },
          tick_of_20_ms: { max: 1_500 },
          erase_1000_s: { max: 60 },
          answers_that_differ: { max: 0 },
        },
      });
    });
  });
}

const truth = `polder.events AS e JOIN truth.atom_person AS t ON t.atom = e.atom`;
const ofSite = `site = '${site}' AND bot = ''`;

/** @param {{ rows: object[], figures: Record<string, number> }} bench */
function note({ rows, figures }, question, ours, raw, isEqual) {
  const [our, their] = [median(ours), median(raw)];
  const spread = (times) => `${Math.round(Math.min(...times))}–${Math.round(Math.max(...times))}`;
  rows.push({
    question,
    ours_ms: our,
    ours_spread: spread(ours),
    raw_ms: their,
    raw_spread: spread(raw),
    ratio: our / their,
    equal: isEqual,
  });
  figures.answers_that_differ = (figures.answers_that_differ ?? 0) + (isEqual ? 0 : 1);
  return our;
}

async function timed(work) {
  const from = performance.now();
  const answer = await work();
  return { ms: performance.now() - from, answer };
}

/** In turn, so that a machine that slows down slows both. The first round warms up. */
async function alternate(ours, raw, times = rounds) {
  const measured = { ours: [], raw: [], isEqual: true };
  for (let round = 0; round <= times; round++) {
    const [a, b] = [await timed(ours), await timed(raw)];
    measured.isEqual &&= JSON.stringify(a.answer) === JSON.stringify(b.answer);
    if (round === 0) continue;
    measured.ours.push(a.ms);
    measured.raw.push(b.ms);
  }
  return measured;
}

/** Everything worked out anew, beside the ids of all raw events and a union-find over them. */
async function rebuild(bench) {
  const { clickhouse } = bench;
  const ours = [];
  const raw = [];
  for (let round = 0; round < 3; round++) {
    for (const table of ["identity", "identity_position", "identity_quarantine"])
      await clickhouse.command(`TRUNCATE TABLE ${table}`);
    const worker = createWorker({ store: createIdentityStore(clickhouse), logger: quiet, registry: new Registry() });
    ours.push((await timed(() => worker.tick())).ms);
    raw.push((await timed(() => uniteRaw(clickhouse))).ms);
  }
  const [{ wrong }] = await clickhouse.query("SELECT countIf(person(atom) != person) AS wrong FROM truth.atom_person");
  bench.figures.rebuild_s = note(bench, "rebuild of identity", ours, raw, wrong === 0) / 1_000;
}

async function uniteRaw(clickhouse) {
  const parents = new Map();
  const find = (id) => {
    let root = id;
    while ((parents.get(root) ?? root) !== root) root = parents.get(root);
    return root;
  };
  const usersOf = new Map();
  const rows = clickhouse.stream(
    `SELECT DISTINCT anonymous_id AS a, user_id AS u, previous_id AS p FROM events WHERE site = '${site}' AND atom != 0`,
  );
  for await (const { a, u, p } of rows) {
    if (u !== "" && p !== "") parents.set(find(`u${p}`), find(`u${u}`));
    if (a !== "" && u !== "") usersOf.set(a, (usersOf.get(a) ?? new Set()).add(u));
  }
  for (const [a, users] of usersOf) if (users.size === 1) parents.set(find(`a${a}`), find(`u${[...users][0]}`));
  return parents.size;
}

const computedTraits = {
  orders_90d: { compute: "count", event: "Order Completed", within: { days: 90 } },
  spent: { compute: "lifetime_value", currency: "EUR" },
  last_viewed: { compute: "last", event: "Product Viewed", of: { property: "product_id" } },
  categories: { compute: "unique_list", event: ["Product Viewed", "Product Added"], of: { property: "category" } },
  days_since_order: { compute: "days_since", event: "Order Completed" },
};

/** At a site with five computed traits and the audiences of the tick: by number, and those who have logged in by their user id. */
async function readProfiles(bench) {
  const { clickhouse, figures } = bench;
  const store = createComputedTraitStore(clickhouse);
  for (const [name, definition] of Object.entries(computedTraits))
    await store.save({ site, name, version: 1, definition, at: endsAt, actor: "bench", reason: "" });
  const anybody = await clickhouse.query(
    `SELECT DISTINCT person FROM truth.atom_person ORDER BY cityHash64(person) LIMIT ${profiles + 10}`,
  );
  const users = await clickhouse.query(
    `SELECT t.person AS person, any(a.user_id) AS user FROM truth.atom_person AS t
     JOIN (SELECT atom, user_id FROM atom WHERE site = '${site}' AND user_id != '') AS a ON a.atom = t.atom
     GROUP BY person ORDER BY cityHash64(person) LIMIT ${profiles + 10}`,
  );
  const ways = {
    profile: anybody.map(({ person }) => ({ person, id: { by: "person", value: person } })),
    profile_by_user_id: users.map(({ person, user }) => ({ person, id: { by: "user", value: user } })),
  };
  for (const [name, people] of Object.entries(ways)) {
    const { ours, raw, isEqual } = await readEach(clickhouse, people);
    figures[`${name}_p50_ms`] = note(bench, `${name.replaceAll("_", " ")} read`, ours, raw, isEqual);
    figures[`${name}_p95_ms`] = quantile(
      ours.toSorted((a, b) => a - b),
      0.95,
    );
  }
}

async function readEach(clickhouse, people) {
  const queries = createReadQueries(clickhouse);
  const ours = [];
  const raw = [];
  let isEqual = true;
  const began = performance.now();
  for (const [n, { person, id }] of people.entries()) {
    // A clock that runs: what a site has defined is looked up every second, as it is at work.
    const now = new Date(endsAt + performance.now() - began);
    const limits = { timeline: 50, sessions: 20, devices: 20, choices: 20, now };
    const a = await timed(() => queries.profile(site, id, limits));
    const b = await timed(() =>
      clickhouse.query(
        `SELECT count() AS events, toString(sumIf(amount, name = 'Order Completed')) AS revenue
         FROM events WHERE ${ofSite} AND atom IN (SELECT atom FROM truth.atom_person WHERE person = {person:UInt32})`,
        { params: { person } },
      ),
    );
    const [{ events, revenue }] = b.answer;
    const profile = a.answer;
    const spent = profile?.computedTraits.find((trait) => trait.name === "spent")?.value ?? 0;
    isEqual &&= profile?.counters.events === events && Number(profile?.revenue[0]?.amount ?? 0) === Number(revenue);
    isEqual &&= Number(spent) === Number(revenue);
    if (n < 10) continue;
    ours.push(a.ms);
    raw.push(b.ms);
  }
  return { ours, raw, isEqual };
}

const context = {
  site,
  now: new Date(endsAt),
  timezone: "UTC",
  audiences: new Map(),
  computedTraits: new Map(),
};
/** Whoever an answer of people is made of, as one number. */
const counted = (sql) => `SELECT count() AS people, toString(sum(cityHash64(person_id))) AS who FROM (${sql})`;
const rawAudience = (having) =>
  counted(`SELECT t.person AS person_id FROM ${truth} WHERE ${ofSite} GROUP BY person_id HAVING ${having}`);
const within = (days) =>
  `e.time > fromUnixTimestamp64Milli(${endsAt - days * dayMs}) AND e.time <= fromUnixTimestamp64Milli(${endsAt})`;

const three = {
  people: {
    all: [
      { event: "Product Viewed", within: { days: 30 }, count: { atLeast: 2 } },
      { event: "Order Completed", within: { days: 60 }, sum: { of: "amount", currency: "EUR", atLeast: 100 } },
      { country: { is: "NL" } },
    ],
  },
};
const threeRaw = `countIf(name = 'Product Viewed' AND ${within(30)}) >= 2
  AND sumIf(amount, name = 'Order Completed' AND currency = 'EUR' AND ${within(60)}) >= 100
  AND argMaxIf(country, (e.time, e._offset), country != '') = 'NL'`;

async function askAudience(bench) {
  const { clickhouse } = bench;
  const { sql, params } = compileAudience(three, context);
  const { ours, raw, isEqual } = await alternate(
    () => clickhouse.query(counted(sql), { params }),
    () => clickhouse.query(rawAudience(threeRaw)),
  );
  bench.figures.audience_ms = note(bench, "audience of three conditions", ours, raw, isEqual);
}

/** Questions that are one statement on either side. */
async function askInTurn(bench) {
  const { clickhouse, figures } = bench;
  const both = (ours, raw) =>
    alternate(
      () => clickhouse.query(ours),
      () => clickhouse.query(raw),
    );
  const steps = (name) =>
    `windowFunnel(${7 * dayMs})(toUInt64(toUnixTimestamp64Milli(time)), ${name} = 'Product Viewed', ${name} = 'Product Added', ${name} = 'Order Completed')`;
  const funnel = (inner) => `SELECT reached, count() AS people FROM (${inner}) GROUP BY reached ORDER BY reached`;
  const asked = {
    unique_by_day: await both(
      `SELECT toString(day) AS day, people FROM audience_days WHERE site = '${site}' AND dimension = 'all' ORDER BY day`,
      `SELECT toString(day) AS day, uniqExact(t.person) AS people FROM ${truth} WHERE ${ofSite} GROUP BY day ORDER BY day`,
    ),
    funnel_of_three: await both(
      funnel(`SELECT ${steps("name")} AS reached FROM events_v WHERE ${ofSite} AND person_id != 0 GROUP BY person_id`),
      funnel(`SELECT ${steps("e.name")} AS reached FROM ${truth} WHERE ${ofSite} GROUP BY t.person`),
    ),
  };
  for (const [name, { ours, raw, isEqual }] of Object.entries(asked))
    figures[`${name}_ms`] = note(bench, name.replaceAll("_", " "), ours, raw, isEqual);

  // What exactness costs: the same days without a thought of who is who.
  const plain = {
    "… plain uniqExact(atom) of raw events": "uniqExact(atom)",
    "… uniqExact of devices (counts them, not people)": "uniqExact(anonymous_id)",
    "… uniqExact(person(atom)) of raw events": "uniqExact(person(atom))",
  };
  for (const [question, expression] of Object.entries(plain)) {
    const { ours, raw } = await both(
      `SELECT toString(day) AS day, people FROM audience_days WHERE site = '${site}' AND dimension = 'all' ORDER BY day`,
      `SELECT toString(day) AS day, ${expression} AS people FROM events WHERE ${ofSite} AND atom != 0 GROUP BY day ORDER BY day`,
    );
    const [our, their] = [median(ours), median(raw)];
    bench.rows.push({ question, ours_ms: our, raw_ms: their, ratio: our / their });
    figures[`unique_by_day_beside_${expression.replaceAll(/[()]+/g, "_").replace(/_$/, "")}`] = our / their;
  }
}

/** Twenty definitions with a raw question each. */
const twenty = Array.from({ length: 20 }, (_, i) => {
  const span = 7 + 4 * i;
  const forms = [
    {
      people: { event: "Product Viewed", within: { days: span }, count: { atLeast: 2 + (i % 3) } },
      raw: `countIf(name = 'Product Viewed' AND ${within(span)}) >= ${2 + (i % 3)}`,
    },
    {
      people: {
        all: [
          { event: "Order Completed", within: { days: span } },
          { not: { event: "Order Completed", within: { days: 5 } } },
        ],
      },
      raw: `countIf(name = 'Order Completed' AND ${within(span)}) > 0 AND countIf(name = 'Order Completed' AND ${within(5)}) = 0`,
    },
    {
      people: {
        event: "Order Completed",
        within: { days: span },
        sum: { of: "amount", currency: "EUR", atLeast: 150 },
      },
      raw: `sumIf(amount, name = 'Order Completed' AND currency = 'EUR' AND ${within(span)}) >= 150`,
    },
    {
      people: {
        all: [
          { event: "Product Added", within: { days: span } },
          { not: { event: "Order Completed", within: { days: span } } },
        ],
      },
      raw: `countIf(name = 'Product Added' AND ${within(span)}) > 0 AND countIf(name = 'Order Completed' AND ${within(span)}) = 0`,
    },
  ];
  return forms[i % forms.length];
});

async function tick(bench) {
  const { clickhouse, figures } = bench;
  let isEqual = true;
  for (const { people, raw } of twenty) {
    const { sql, params } = compileAudience({ people }, context);
    const [a, b] = [await clickhouse.query(counted(sql), { params }), await clickhouse.query(rawAudience(raw))];
    isEqual &&= JSON.stringify(a) === JSON.stringify(b);
  }
  const store = createAudienceStore(clickhouse);
  for (const [i, { people }] of twenty.entries())
    await store.save({
      site,
      audience: `audience-${i}`,
      revision: 1,
      version: 1,
      name: `Audience ${i}`,
      definition: { people },
      isAnonymous: false,
      purpose: "profile",
      state: "active",
      everySeconds: 10,
      sizeFloor: 0,
      expiresAt: undefined,
      at: endsAt,
      actor: "bench",
      reason: "",
    });
  let now = endsAt;
  const ticker = createAudiences({
    clickhouse,
    sites: () => [{ id: site, timezone: "UTC" }],
    now: () => new Date(now),
    logger: quiet,
    everyMs: 0,
  });
  figures.first_tick_ms = (await timed(() => ticker.tick())).ms;
  const ours = [];
  const raw = [];
  for (let round = 0; round <= rounds; round++) {
    now += 300_000; // whoever's window is over leaves
    const a = await timed(() => ticker.tick());
    const b = await timed(async () => {
      for (const { raw: having } of twenty) await clickhouse.query(rawAudience(having));
    });
    if (round === 0) continue;
    ours.push(a.ms);
    raw.push(b.ms);
  }
  now += 3_600_000;
  figures.hourly_tick_ms = (await timed(() => ticker.tick())).ms;
  await ticker.stop();
  figures.tick_of_20_ms = note(bench, "tick of 20 audiences", ours, raw, isEqual);
}

async function erase(bench) {
  const { clickhouse, figures } = bench;
  const people = (
    await clickhouse.query(
      `SELECT DISTINCT person FROM truth.atom_person ORDER BY cityHash64('erase', person) LIMIT ${erased}`,
    )
  ).map(({ person }) => person);
  await clickhouse.command("CREATE TABLE truth.raw CLONE AS polder.events");
  const raw = await timed(() =>
    clickhouse.command(
      "DELETE FROM truth.raw WHERE atom IN (SELECT atom FROM truth.atom_person WHERE person IN {people:Array(UInt32)})",
      {
        params: { people },
        settings: { lightweight_deletes_sync: 2 },
        isLong: true,
      },
    ),
  );
  await clickhouse.command(
    "ALTER TABLE truth.atom_person DELETE WHERE person IN {people:Array(UInt32)} SETTINGS mutations_sync = 2",
    {
      params: { people },
    },
  );

  const store = createErasureStore({ clickhouse });
  const now = () => new Date();
  const hidden = await timed(() => store.request({ site, people, actor: "bench", reason: "", at: now() }));
  let isOver = false;
  const inserts = ingestUntil(clickhouse, () => isOver);
  const eraser = createEraser({ store, now, graceMs: 0 });
  const purged = await timed(() => eraser.tick());
  const swept = await timed(() => eraser.sweep());
  isOver = true;
  const waits = await inserts;

  const [ours] = await clickhouse.query(
    `SELECT sum(people) AS people, sum(events) AS events FROM audience_days WHERE site = '${site}' AND dimension = 'all'`,
  );
  const [theirs] = await clickhouse.query(
    `SELECT sum(people) AS people, sum(events) AS events FROM (
       SELECT day, uniqExact(t.person) AS people, count() AS events FROM ${truth} WHERE ${ofSite} GROUP BY day)`,
  );
  const isEqual = JSON.stringify(ours) === JSON.stringify(theirs);
  figures.erase_1000_s =
    note(
      bench,
      `erase of ${erased.toLocaleString("en-GB")} from all tables (raw: from events alone)`,
      [hidden.ms + purged.ms],
      [raw.ms],
      isEqual,
    ) / 1_000;
  figures.erase_1000_hidden_ms = hidden.ms;
  figures.erase_1000_off_disk_s = (hidden.ms + purged.ms + swept.ms) / 1_000;
  figures.slowest_insert_meanwhile_ms = Math.max(...waits);
}

/** A thousand rows at a time, one after the other: how long each took. */
async function ingestUntil(clickhouse, isOver) {
  const waits = [];
  while (!isOver()) {
    const { ms } = await timed(() =>
      clickhouse.command(
        `INSERT INTO events (site, day, type, name, time, received_at, message_id, anonymous_id, basis, consent_mask, properties, _partition, _offset, atom)
         SELECT 'meanwhile', toDate(now()), 'page', 'page', now64(3), now64(3), toString(rand64()), toString(number), 'consent', 63, '{}', 63, ${waits.length} * 1000 + number, number * 64 + 63
         FROM numbers(1, 1000)`,
      ),
    );
    waits.push(ms);
  }
  return waits;
}
