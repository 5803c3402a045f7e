import { consentOfPerson, type Choices, type DeviceConsent, type LastUse, type PersonFlags } from "@polder/core";
import { buildEventRow, type LoadedEventRow } from "@polder/core/contracts";
import { maskOf, purposes, type Purpose } from "@polder/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestDatabase, type TestDatabase } from "../test-support/start-test-database.ts";
import { tieNameless } from "../tie-nameless.ts";
import { personConsentOf } from "./person-consent-of.ts";
import { personConsent } from "./person-consent.ts";

const seed = 20_261_123;
const histories = 400;
const day = 86_400_000;
const start = Date.parse("2026-01-05T00:00:00Z");
const now = start + 100 * day;
const grantDays = 60;
const asked = purposes.filter((purpose) => purpose !== "necessary");

/** One browser and one user of a history, each of which may be nobody. */
interface Atom {
  anonymousId: string;
  userId: string;
}
/** Every identity of a history: number `i` has the atom `first + i`. */
const identities: readonly Atom[] = ["", "ada", "bob"].flatMap((userId) =>
  ["", "phone", "laptop"].flatMap((anonymousId) => (userId + anonymousId === "" ? [] : [{ anonymousId, userId }])),
);

interface Said {
  identity: number;
  day: number;
  choices: { [P in Purpose]?: string } | undefined;
  mask: number;
  basis: string;
  gpc: boolean;
  previousId: string;
  email: string;
}
interface History {
  events: readonly Said[];
  /** By identity: number of the person. Whoever is not seen is nobody's. */
  people: readonly number[];
  nameless: readonly number[];
  /** How often each was taken back: an undo that was itself undone takes nothing back. And when the two were unmerged, in the middle of a day. */
  decisions: readonly { day: number; undone: number; unmerged: number | undefined; left: string; right: string }[];
  flags: readonly { identity: number; day: number; flag: "restrict" | "object"; purpose: Purpose; isSet: boolean }[];
}

const days = fc.integer({ min: 1, max: 99 });
const anyIdentity = fc.integer({ min: 0, max: identities.length - 1 });
const arbitraryHistory: fc.Arbitrary<History> = fc.record({
  events: fc.array(
    fc.record({
      identity: anyIdentity,
      day: days,
      choices: fc.option(
        fc.dictionary(
          fc.constantFrom(...asked),
          fc.constantFrom("granted", "granted", "denied", "withdrawn", "opted_out", "unset", "expired"),
        ),
        { nil: undefined },
      ),
      mask: fc.oneof(
        fc.constant(63),
        fc.integer({ min: 0, max: 31 }).map((bits) => bits * 2 + 1),
      ),
      basis: fc.constantFrom(
        "consent",
        "consent",
        "consent",
        "opt_out",
        "notice",
        "consent_elsewhere",
        "legitimate_interest",
        "contract",
        "legal_obligation",
      ),
      gpc: fc.boolean(),
      previousId: fc.constantFrom("", "", "bob", "phone"),
      email: fc.constantFrom("", "", "x@example.com", "y@example.com"),
    }),
    { minLength: 1, maxLength: 14 },
  ),
  people: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: identities.length, maxLength: identities.length }),
  nameless: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.uniqueArray(anyIdentity, { maxLength: 3 }) },
  ),
  decisions: fc.array(
    fc.record({
      day: days,
      undone: fc.integer({ min: 0, max: 3 }),
      unmerged: fc.option(days, { nil: undefined }),
      left: fc.constantFrom("user:ada", "device:phone"),
      right: fc.constantFrom("user:bob", "device:laptop"),
    }),
    { maxLength: 2 },
  ),
  flags: fc.array(
    fc.record({
      identity: anyIdentity,
      day: days,
      flag: fc.constantFrom("restrict" as const, "object" as const, "object" as const),
      purpose: fc.constantFrom(...asked),
      isSet: fc.boolean(),
    }),
    { maxLength: 2 },
  ),
});

/** Bob says no on a phone that is Ada's as well, and Ada says yes on her laptop: the one of the two that is later holds, if both were hers by then. */
const sharedDevice: fc.Arbitrary<History> = fc
  .record({
    rest: arbitraryHistory,
    no: days,
    yes: days,
    phone: days,
    laptop: days,
    purpose: fc.constantFrom(...asked),
  })
  .map(({ rest, no, yes, phone, laptop, purpose }) => {
    const at = (anonymousId: string, userId: string) =>
      identities.findIndex((one) => one.anonymousId === anonymousId && one.userId === userId);
    const [adaOnPhone, adaOnLaptop, bobOnPhone] = [at("phone", "ada"), at("laptop", "ada"), at("phone", "bob")];
    const event = { choices: undefined, mask: 63, basis: "consent", gpc: false, previousId: "", email: "" };
    const said = (identity: number, on: number, state: string, mask: number): Said => ({
      ...event,
      identity,
      day: on,
      choices: { [purpose]: state },
      mask,
    });
    const people = rest.people.map((person, identity) =>
      identity === bobOnPhone ? 1 : identity === adaOnPhone || identity === adaOnLaptop ? 0 : person,
    );
    const events = [
      { ...event, identity: adaOnPhone, day: phone },
      { ...event, identity: adaOnLaptop, day: laptop },
      said(bobOnPhone, no, "denied", 63 & ~maskOf([purpose])),
      said(adaOnLaptop, yes, "granted", 63),
    ];
    const nameless = rest.nameless.filter((identity) => ![adaOnPhone, adaOnLaptop, bobOnPhone].includes(identity));
    return { ...rest, events: [...events, ...rest.events.slice(0, 3)], people, nameless, flags: [] };
  });
/** A browser withdraws, and takes along all that was said on it. */
const withdrawnBrowser: fc.Arbitrary<History> = fc
  .record({ rest: arbitraryHistory, browser: fc.constantFrom("phone", "laptop") })
  .map(({ rest, browser }) => {
    const nameless = identities.flatMap(({ anonymousId }, identity) =>
      anonymousId === browser && rest.events.some((event) => event.identity === identity) ? [identity] : [],
    );
    return {
      ...rest,
      people: rest.people.map((person, identity) => (nameless.includes(identity) ? 0 : person % 2)),
      nameless,
      flags: [],
    };
  });
const arbitraryCase = fc.oneof(
  { weight: 3, arbitrary: arbitraryHistory },
  { weight: 1, arbitrary: sharedDevice },
  { weight: 1, arbitrary: withdrawnBrowser },
);

let database: TestDatabase;
beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(() => database?.stop());

const timeText = (at: number): string => new Date(at).toISOString().slice(0, -1).replace("T", " ");
/** Histories share a site, and no ids. */
const named = (id: string, index: number): string =>
  id === "" ? "" : `${index}${id}`.replace(/^(\d+)(user|device):/, "$2:$1");
const nodeOf = ({ anonymousId, userId }: Atom) => (userId === "" ? `device:${anonymousId}` : `user:${userId}`);

/** What the rule says of every person of a history, from its events and nothing else. */
function expectedMasks(
  { events, people, nameless, decisions, flags }: History,
  first: number,
  tiedSince: ReadonlyMap<number, number>,
): Map<number, number> {
  const seen = [...new Set(events.map(({ identity }) => identity))];
  const personOf = personNumbers({ people } as History, seen);
  const isNamed = (identity: number): boolean => !nameless.includes(identity);
  const deviceKey = (identity: number): string =>
    isNamed(identity)
      ? identities[identity]!.anonymousId === ""
        ? `user ${identities[identity]!.userId}`
        : identities[identity]!.anonymousId
      : `nameless ${identity}`;
  const at = (one: { day: number }): number => start + one.day * day;

  const wordOf = ({ choices, mask, gpc }: Said, purpose: Purpose): boolean | undefined => {
    const state = choices?.[purpose];
    if (choices === undefined) return undefined;
    if (purpose === "ads" && gpc) return false;
    if (state === "denied" || state === "withdrawn" || state === "opted_out") return false;
    if (state === "granted") return (mask & maskOf([purpose])) !== 0;
    return undefined;
  };
  const choicesIn = (some: readonly Said[]): Choices => {
    const last: { [P in Purpose]?: { at: number; isYes: boolean } } = {};
    for (const purpose of asked)
      for (const event of some) {
        const isYes = wordOf(event, purpose);
        const before = last[purpose];
        if (isYes === undefined || (before !== undefined && before.at > at(event))) continue;
        last[purpose] = { at: at(event), isYes: isYes && (before?.at !== at(event) || before.isYes) };
      }
    return last;
  };
  const lastUse = (some: readonly Said[], bases: readonly string[], byYes: string): LastUse | undefined =>
    some
      .filter(({ basis }) => bases.includes(basis))
      .map((event) => ({ at: at(event), mask: event.mask, restsOnYes: event.basis === byYes }))
      .toSorted((a, b) => b.at - a.at || Number(b.restsOnYes) - Number(a.restsOnYes) || a.mask - b.mask)[0];
  const choiceBases = ["consent", "opt_out", "notice"];

  const masks = new Map<number, number>();
  for (const person of new Set(personOf.values())) {
    const own = seen.filter((identity) => personOf.get(identity) === person);
    const devices = [...new Set(own.map(deviceKey))].map((key): DeviceConsent => {
      const ofPerson = events.filter(
        ({ identity }) => personOf.get(identity) === person && deviceKey(identity) === key,
      );
      const ofAnybody = events.filter(({ identity }) => deviceKey(identity) === key);
      const on = own.filter((identity) => deviceKey(identity) === key);
      const withUser = on.filter((identity) => isNamed(identity) && identities[identity]!.userId !== "");
      const firsts = withUser.map((identity) =>
        identities[identity]!.anonymousId === ""
          ? 0
          : Math.min(...events.filter((event) => event.identity === identity).map(at)),
      );
      return {
        id: key,
        isNamed: !key.startsWith("nameless"),
        users: [...new Set(withUser.map((identity) => identities[identity]!.userId))],
        usedSince: key.startsWith("nameless")
          ? (tiedSince.get(first + Number(key.slice("nameless ".length))) ?? 0)
          : firsts.length === 0
            ? 0
            : Math.min(...firsts),
        said: choicesIn(ofPerson),
        saidByAnybody: choicesIn(ofAnybody),
        byChoice: lastUse(ofPerson, choiceBases, "consent"),
        byChoiceOfAnybody: lastUse(ofAnybody, choiceBases, "consent"),
        // The nameless allow nothing, on no ground.
        byKey: lastUse(ofPerson, ["consent_elsewhere", "legitimate_interest"], "consent_elsewhere"),
        byLaw: lastUse(ofPerson, ["contract", "legal_obligation"], ""),
      };
    });
    const of = events.filter(({ identity }) => own.includes(identity));
    const firstOf = (some: readonly Said[]) => Math.min(...some.map(at));
    const by = (key: (event: Said) => string, some: readonly Said[]): Said[][] => {
      const keys = [...new Set(some.map(key))];
      return keys.map((one) => some.filter((event) => key(event) === one));
    };
    const aliases = by(
      ({ identity, previousId }) => `${identities[identity]!.userId} ${previousId}`,
      of.filter(({ identity, previousId }) => previousId !== "" && identities[identity]!.userId !== ""),
    ).map(firstOf);
    const hubs = by(
      ({ email }) => email,
      of.filter(({ email }) => email !== ""),
    ).flatMap((some) => {
      const nodes = by(({ identity }) => nodeOf(identities[identity]!), some).map(firstOf);
      return nodes.length > 1 ? [Math.max(...nodes)] : [];
    });
    const nodes = own.filter(isNamed).map((identity) => nodeOf(identities[identity]!));
    const isUnmade = (merge: History["decisions"][number]): boolean =>
      decisions.some(
        ({ unmerged = 0, left, right }) => left === merge.left && right === merge.right && unmerged >= merge.day,
      );
    const merges = decisions
      .filter(({ undone, left, right }) => undone % 2 === 0 && (nodes.includes(left) || nodes.includes(right)))
      .filter((merge) => !isUnmade(merge))
      .map(at);
    const joins = [...aliases, ...hubs, ...merges];
    masks.set(
      first + person,
      maskOf(
        consentOfPerson({
          devices,
          joinedAt: joins.length === 0 ? undefined : Math.max(...joins),
          flags: flagsOf(flags, own.filter(isNamed)),
          now,
          grantLifetimeMs: grantDays * day,
        }).flatMap(({ purpose, isAllowed }) => (isAllowed ? [purpose] : [])),
      ),
    );
  }
  return masks;
}

/** The smallest identity of a group is its person. */
function personNumbers({ people }: History, seen: readonly number[]): Map<number, number> {
  return new Map(
    seen.map((identity) => [identity, Math.min(...seen.filter((other) => people[other] === people[identity]))]),
  );
}

function flagsOf(flags: History["flags"], own: readonly number[]): PersonFlags {
  const isHeld = (flag: string, purpose: string): boolean =>
    own.some((identity) => {
      const rows = flags
        .filter((row) => row.flag === flag && (flag === "restrict" || row.purpose === purpose))
        .filter((row) => nodeOf(identities[row.identity]!) === nodeOf(identities[identity]!));
      const last = rows.toSorted((a, b) => b.day - a.day || Number(b.isSet) - Number(a.isSet))[0];
      return last?.isSet === true;
    });
  return { isRestricted: isHeld("restrict", ""), objections: asked.filter((purpose) => isHeld("object", purpose)) };
}

it("allows a person, in SQL, exactly what the rule allows", async () => {
  const { clickhouse } = database;
  const samples = fc.sample(arbitraryCase, { numRuns: histories, seed });
  const firsts = samples.map((_, index) => (index + 1) * 64);
  const rows: LoadedEventRow[] = [];
  for (const [index, { events }] of samples.entries())
    for (const event of events) {
      const { anonymousId, userId } = identities[event.identity]!;
      const time = timeText(start + event.day * day);
      const isAlias = event.choices === undefined && event.previousId !== "" && userId !== "";
      if (!isAlias) event.previousId = "";
      const isIdentify = event.choices === undefined && !isAlias && event.email !== "";
      if (!isIdentify) event.email = "";
      rows.push(
        buildEventRow({
          atom: firsts[index]! + event.identity,
          anonymous_id: named(anonymousId, index),
          user_id: named(userId, index),
          time,
          received_at: time,
          _offset: rows.length,
          message_id: `m${rows.length}`,
          consent_mask: event.mask,
          basis: event.basis,
          notice: event.gpc && event.choices !== undefined ? '{"gpc":true}' : "",
          ...(isAlias && { type: "alias", name: "alias", previous_id: named(event.previousId, index) }),
          ...(isIdentify && {
            type: "identify",
            name: "identify",
            "traits.name": ["email"],
            "traits.value": [named(event.email, index)],
            "traits.class": ["identity"],
            "traits.purpose": ["profile"],
            "traits.personal": [1],
          }),
          ...(event.choices !== undefined && {
            type: "consent",
            name: "consent",
            "choice.purpose": Object.keys(event.choices),
            "choice.state": Object.values(event.choices),
          }),
        }),
      );
    }
  // In two inserts and out of order: the same either way.
  await clickhouse.insertRows(
    "events",
    rows.filter((_, index) => index % 3 === 0),
  );
  await clickhouse.insertRows("events", rows.filter((_, index) => index % 3 !== 0).toReversed());
  await clickhouse.insertRows(
    "identity",
    samples.flatMap((history, index) => {
      const seen = [...new Set(history.events.map(({ identity }) => identity))];
      return [...personNumbers(history, seen)].map(([identity, person]) => ({
        site: "shop",
        atom: firsts[index]! + identity,
        person: firsts[index]! + person,
        version: 1,
      }));
    }),
  );
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
  await clickhouse.insertRows(
    "identity_decision",
    samples.flatMap(({ decisions }, index) =>
      decisions.flatMap(({ day: on, undone, unmerged, left, right }, n) => {
        const decision = { site: "shop", edges: [], actor: "a", reason: "b", left: "", right: "", undoes: "" };
        const idOf = (depth: number): string => `d${index}-${n}-${depth}`;
        const merge = {
          ...decision,
          id: idOf(0),
          at: timeText(start + on * day),
          action: "merge",
          left: named(left, index),
          right: named(right, index),
        };
        const undoes = Array.from({ length: undone }, (_, depth) => ({
          ...decision,
          id: idOf(depth + 1),
          at: timeText(start + on * day + depth + 1),
          action: "undo",
          undoes: idOf(depth),
        }));
        const [node = "", other = ""] = [named(left, index), named(right, index)].toSorted();
        const unmerge = {
          ...decision,
          id: `d${index}-${n}-unmerge`,
          at: timeText(start + ((unmerged ?? 0) + 0.5) * day),
          action: "unmerge",
          edges: [{ kind: "manual", node, other }],
        };
        return [merge, ...undoes, ...(unmerged === undefined ? [] : [unmerge])];
      }),
    ),
  );
  await clickhouse.insertRows(
    "person_flag",
    samples.flatMap(({ flags }, index) =>
      flags.map(({ identity, day: on, flag, purpose, isSet }, n) => ({
        site: "shop",
        at: timeText(start + on * day),
        id: `f${n}`,
        flag,
        purpose: flag === "object" ? purpose : "",
        is_set: isSet ? 1 : 0,
        user_id: named(identities[identity]!.userId, index),
        anonymous_id: identities[identity]!.userId === "" ? named(identities[identity]!.anonymousId, index) : "",
        person: firsts[index]! + identity,
        actor: "a",
        reason: "b",
      })),
    ),
  );
  await clickhouse.insertRows("consent_setting", [
    {
      site: "shop",
      n: 1,
      since: "2026-01-01 00:00:00.000",
      before_choice: "silent",
      reason: "",
      regimes: {},
      grant_days: grantDays,
      refusal_days: 184,
    },
  ]);
  const ask = async (people?: string): Promise<Map<number, number>> => {
    const answer = await clickhouse.query<{ person_id: number; mask: number }>(
      `SELECT * FROM ${personConsent(people === undefined ? {} : { people })}`,
      { params: { site: "shop", now } },
    );
    expect(new Set(answer.map(({ person_id: person }) => person)).size).toBe(answer.length);
    return new Map(answer.map(({ person_id: person, mask }) => [person, mask]));
  };
  const before = await ask();
  // As a withdrawal leaves them.
  const nameless = samples.flatMap((history, index) => history.nameless.map((identity) => firsts[index]! + identity));
  await tieNameless(clickhouse, nameless, new Date(now));
  for (const change of [
    "consent_state UPDATE device = 0, user = 0",
    "atom DELETE",
    "identity_edge DELETE",
    "atom_event DELETE",
  ])
    await clickhouse.command(
      `ALTER TABLE ${change} WHERE atom IN {nameless:Array(UInt32)} SETTINGS mutations_sync = 2`,
      { params: { nameless } },
    );
  const ties = await clickhouse.query<{ atom: number; since: number }>(
    "SELECT atom, toUnixTimestamp64Milli(t.since) AS since FROM identity_tie AS t",
  );
  const tiedSince = new Map(ties.map(({ atom, since }) => [atom, since]));
  const found = await ask();
  const everybody = new Map<number, number>();
  for (const [index, history] of samples.entries()) {
    // What a withdrawal has removed joins nothing any more.
    const events = history.events.map((event) =>
      history.nameless.includes(event.identity) ? { ...event, previousId: "", email: "" } : event,
    );
    const expected = expectedMasks({ ...history, events }, firsts[index]!, tiedSince);
    const ofHistory = new Map([...expected.keys()].map((person) => [person, found.get(person)]));
    expect(ofHistory, `seed ${seed}, history ${index}: ${JSON.stringify(history)}`).toEqual(expected);
    for (const [person, mask] of expected) everybody.set(person, mask);
  }
  expect(found).toEqual(everybody);
  // Of a browser all that was said on it goes together. Flags are kept by others.
  let checked = 0;
  for (const [index, { events, people, flags, nameless: gone }] of samples.entries()) {
    const browsers = new Set(gone.map((identity) => identities[identity]!.anonymousId));
    const isWhole = events.every(({ identity }) => {
      const { anonymousId } = identities[identity]!;
      return gone.includes(identity) || anonymousId === "" || !browsers.has(anonymousId);
    });
    // What others said on a browser that they shared goes with the browser.
    const isOneAlone = new Set(gone.map((identity) => people[identity])).size < 2;
    if (!isWhole || !isOneAlone || flags.length > 0) continue;
    for (let person = firsts[index]!; person < firsts[index]! + identities.length; person++) {
      const allowed = found.get(person) ?? 0;
      expect(
        allowed & ~(before.get(person) ?? 0),
        `seed ${seed}, history ${index}, person ${person}: a removal allows more: ${JSON.stringify(samples[index])}`,
      ).toBe(0);
      if (gone.length > 0 && before.has(person)) checked++;
    }
  }
  expect(checked).toBeGreaterThan(histories / 20);
  expect([...everybody.values()].filter((mask) => mask > 1).length).toBeGreaterThan(histories / 4);
  // Asked about some, whoever else there is.
  const some = [...everybody].filter((_, index) => index % 5 === 0);
  expect(await ask(`SELECT arrayJoin([${some.map(([person]) => `toUInt32(${person})`).join(", ")}])`)).toEqual(
    new Map(some),
  );
  expect(await ask("SELECT toUInt32(3)")).toEqual(new Map());
  // One by one, worked out by the rule itself: the same.
  for (const [person, mask] of [...everybody].filter((_, index) => index % 40 === 0)) {
    const purposesOf = await personConsentOf(clickhouse, "shop", person, now);
    expect(maskOf(purposesOf.flatMap(({ purpose, isAllowed }) => (isAllowed ? [purpose] : []))), `${person}`).toBe(
      mask,
    );
  }
});

it("knows a merge of visitors who came with a value that stands for nobody, who are no user of several devices", async () => {
  const { clickhouse } = database;
  const site = "kiosks";
  const said = (atom: number, user: string, on: number, state: "granted" | "denied" | undefined): LoadedEventRow => {
    const time = timeText(start + on * day);
    return buildEventRow({
      site,
      atom,
      anonymous_id: `kiosk-${atom}`,
      user_id: user,
      time,
      received_at: time,
      _offset: atom * 100 + on,
      message_id: `kiosk-${atom}-${on}`,
      basis: "consent",
      consent_mask: state === "denied" ? 63 & ~maskOf(["ads"]) : 63,
      ...(state && { type: "consent", name: "consent", "choice.purpose": ["ads"], "choice.state": [state] }),
    });
  };
  const first = 9_000_000;
  // A no before the merge; a yes before it, and after it.
  const pairs = [
    { users: ["null", "null"], yes: 75, isAllowed: false },
    { users: ["null", "Guest"], yes: 75, isAllowed: false },
    { users: ["null", "null"], yes: 85, isAllowed: true },
    { users: ["null", "Guest"], yes: 85, isAllowed: true },
    { users: ["undefined", ""], yes: 85, isAllowed: true },
  ].map((pair, n) => ({ ...pair, left: first + n * 2, right: first + n * 2 + 1 }));
  await clickhouse.insertRows(
    "events",
    pairs.flatMap(({ users: [one, other], yes, left, right }) => [
      said(left, one!, 70, "denied"),
      said(right, other!, 71, undefined),
      said(right, other!, yes, "granted"),
    ]),
  );
  await clickhouse.insertRows(
    "identity",
    pairs.map(({ left, right }) => ({ site, atom: right, person: left, version: 2 })),
  );
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
  const at = timeText(start + 80 * day);
  await clickhouse.insertRows(
    "identity_decision",
    pairs.map(({ left, right }) => ({
      site,
      at,
      id: `kiosk-${left}`,
      action: "merge",
      left: `device:kiosk-${left}`,
      right: `device:kiosk-${right}`,
      edges: [],
      actor: "a",
      reason: "b",
      undoes: "",
    })),
  );
  const expected = pairs.map(({ left, isAllowed }) => ({ person: left, isAllowed }));
  const masks = await clickhouse.query<{ person: number; mask: number }>(
    `SELECT person_id AS person, mask FROM ${personConsent()} ORDER BY person`,
    { params: { site, now } },
  );
  const ads = maskOf(["ads"]) & ~1;
  expect(masks.map(({ person, mask }) => ({ person, isAllowed: (mask & ads) !== 0 }))).toEqual(expected);
  for (const { person, isAllowed } of expected)
    expect(await personConsentOf(clickhouse, site, person, now)).toContainEqual(
      expect.objectContaining({ purpose: "ads", isAllowed }),
    );
});
