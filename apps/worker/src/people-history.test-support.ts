import {
  createNodeReader,
  defaultIdentityRules,
  emailHash,
  keysOfEdge,
  resolvePeople,
  type EdgeKey,
  type IdentityDecision,
  type IdentityEdge,
  type IdentityRules,
  type SiteAtom,
} from "@polder/core";
import fc from "fast-check";
import type { MemoryEdge } from "./memory-identity-store.test-support.ts";

/** What an event says, in few words. */
export interface Said {
  site: string;
  kind: "seen" | IdentityEdge["kind"];
  anonymousId: string;
  userId: string;
  /** Previous id, or what the hash is of. */
  other: string;
  rule: string;
  day: number;
  partition: number;
}

export type Step =
  | { do: "say"; said: readonly Said[] }
  | { do: "merge"; left: string; right: string }
  | { do: "unmerge"; pick: number; count: number }
  | { do: "undo"; pick: number }
  | { do: "erase"; pick: number }
  | { do: "remove"; pick: number }
  | { do: "withdraw"; pick: number }
  | { do: "rules"; rules: IdentityRules }
  | { do: "restart" }
  | { do: "cut"; after: number };

const small = (prefix: string, n: number) =>
  fc.integer({ min: 0, max: n }).map((i) => (i === 0 ? "" : i === n ? "null" : `${prefix}${i}`));
const said: fc.Arbitrary<Said> = fc.record({
  site: fc.constantFrom("shop", "shop", "shop", "blog"),
  kind: fc.constantFrom("seen", "seen", "login", "import", "alias", "email", "email", "phone"),
  anonymousId: small("a", 7),
  userId: small("u", 5),
  // Ids of users and of devices too, for aliases.
  other: fc.constantFrom("a1", "a2", "u1", "u2", "u3", "x", "c1", "c2"),
  rule: fc.constantFrom("server", "login", "form"),
  day: fc.integer({ min: 0, max: 60 }),
  partition: fc.constantFrom(0, 0, 1),
});
const node = fc.constantFrom("user:u1", "user:u2", "user:u3", "device:a1", "device:a2", "device:a3");
const limit = fc.record({ max: fc.integer({ min: 1, max: 4 }), withinDays: fc.integer({ min: 1, max: 30 }) });
export const someRules: fc.Arbitrary<IdentityRules> = fc.record({
  limits: fc.record({ user_id: limit, email: limit, phone: limit }),
  priority: fc.constantFrom(["email", "phone"] as const, ["phone", "email"] as const, ["email"] as const),
  unique: fc.constantFrom([], ["email"] as const, ["phone"] as const),
  blocked: fc.constantFrom([], ["u2"], ["c1", "a1"]),
  trustsForms: fc.boolean(),
  aliasJoinsUsers: fc.boolean(),
  maxAtoms: fc.constantFrom(2, 4, 1_000, 1_000),
});
const someCount = fc.integer({ min: 1, max: 3 });
export const someSteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant("say" as const), said: fc.array(said, { minLength: 1, maxLength: 6 }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("merge" as const), left: node, right: node }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("unmerge" as const), pick: fc.nat(), count: someCount }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("undo" as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("erase" as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const), pick: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("withdraw" as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("rules" as const), rules: someRules }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("cut" as const), after: fc.integer({ min: 0, max: 6 }) }) },
  ),
  { minLength: 1, maxLength: 9 },
);

const start = Date.UTC(2026, 10, 1);

/** A clock for every worker: some are ahead of those that come after them. */
export function createClocks(): () => () => Date {
  let time = 1_000;
  let workers = 0;
  return () => {
    const aheadMs = (workers++ % 3) * 50;
    return () => new Date(time++ + aheadMs);
  };
}

/** What was stored so far, kept beside the store so that nothing of it is trusted. */
export interface History {
  atoms: Map<string, SiteAtom>;
  edges: MemoryEdge[];
  decisions: IdentityDecision[];
  erased: { site: string; atom: number }[];
  /** By nameless identity, the one that it is tied to. Some of them have their ids until the next step. */
  ties: Map<number, number>;
  leaving: number[];
  offset: number;
}
export const newHistory = (): History => ({
  atoms: new Map(),
  edges: [],
  decisions: [],
  erased: [],
  ties: new Map(),
  leaving: [],
  offset: 0,
});

/** What a step adds to the tables. */
export interface Added {
  atoms: SiteAtom[];
  edges: MemoryEdge[];
  decisions: IdentityDecision[];
  erased: { site: string; atom: number }[];
  ties: { site: string; atom: number; other: number }[];
  /** Identities whose ids and edges are gone. */
  nameless: { site: string; atom: number }[];
  /** Places in the log whose edges are gone, as they go by age. */
  removed: { partition: number; offset: number }[];
}

export function addStep(history: History, step: Step, rules: IdentityRules): Added {
  const added: Added = { atoms: [], edges: [], decisions: [], erased: [], ties: [], nameless: [], removed: [] };
  carryOut(history, added);
  const decide = (decision: Partial<IdentityDecision>): void => {
    const n = history.decisions.length + added.decisions.length;
    const nothing = { action: "merge" as const, left: "", right: "", edges: [], undoes: "" };
    added.decisions.push({
      id: `decision-${n}`,
      site: "shop",
      at: start + n,
      actor: "ada",
      reason: "a test",
      ...nothing,
      ...decision,
    });
  };
  if (step.do === "say") for (const one of step.said) addSaid(history, one, added);
  if (step.do === "merge" && step.left !== step.right) decide({ left: step.left, right: step.right });
  if (step.do === "undo")
    for (const { id } of pick(history.decisions, step.pick, 1)) decide({ action: "undo", undoes: id });
  if (step.do === "unmerge") {
    const edges = pick(keysIn(history, rules), step.pick, step.count);
    if (edges.length > 0) decide({ action: "unmerge", edges });
  }
  if (step.do === "erase") {
    // With what follows it, as whole people are erased.
    for (const { site, atom } of pick(namedIn(history), step.pick, 1))
      for (const one of [atom, ...[...history.ties.keys()].filter((tied) => endOf(history.ties, tied) === atom)])
        added.erased.push({ site, atom: one });
  }
  if (step.do === "withdraw") announce(history, { at: step.pick, rules, added });
  if (step.do === "remove") {
    for (const { partition, offset } of pick(history.edges, step.pick, 1)) {
      added.removed.push({ partition, offset });
      history.edges = history.edges.filter((one) => one.partition !== partition || one.offset !== offset);
    }
  }
  history.edges.push(...added.edges);
  history.decisions.push(...added.decisions);
  history.erased.push(...added.erased);
  return added;
}

const namedIn = (history: History): SiteAtom[] =>
  [...history.atoms.values()].filter(
    ({ atom }) => !history.ties.has(atom) && !history.erased.some((one) => one.atom === atom),
  );

const endOf = (ties: ReadonlyMap<number, number>, atom: number): number =>
  ties.has(atom) ? endOf(ties, ties.get(atom)!) : atom;

/** The identities of a device will be nameless: each is tied to one of its person that stays, or to the first of those that go. */
function announce(history: History, { at, rules, added }: { at: number; rules: IdentityRules; added: Added }): void {
  const named = namedIn(history);
  const [device] = pick(
    named.filter(({ anonymousId }) => anonymousId !== ""),
    at,
    1,
  );
  if (device === undefined) return;
  const persons = new Map(expectedPersons(history, new Map([["shop", rules]])));
  const isLeaving = ({ site, anonymousId }: SiteAtom): boolean =>
    site === device.site && anonymousId === device.anonymousId;
  const leaving = named.filter(isLeaving);
  for (const { site, atom } of leaving) {
    const isSame = (one: SiteAtom): boolean => one.site === site && persons.get(one.atom) === persons.get(atom);
    const stay = named.filter((one) => isSame(one) && !isLeaving(one));
    const other = Math.min(...(stay.length > 0 ? stay : leaving.filter(isSame)).map((one) => one.atom));
    if (other !== atom) added.ties.push({ site, atom, other });
    history.leaving.push(atom);
  }
  for (const { atom, other } of added.ties) history.ties.set(atom, other);
}

/** What was announced in the step before. One that nothing is left to tie to is nameless as well. */
function carryOut(history: History, added: Added): void {
  const isLeaving = ({ atom }: { atom: number }): boolean => history.leaving.includes(atom);
  for (const [key, { site, atom }] of [...history.atoms].filter(([, one]) => isLeaving(one))) {
    history.atoms.delete(key);
    history.atoms.set(`nameless ${atom}`, { site, atom, anonymousId: "", userId: "" });
    added.nameless.push({ site, atom });
  }
  history.edges = history.edges.filter((edge) => !isLeaving(edge));
  history.leaving = [];
}

function addSaid(history: History, one: Said, added: Added): void {
  const { site, kind, anonymousId, userId, other, rule, day, partition } = one;
  if (anonymousId === "" && userId === "") return;
  const key = JSON.stringify([site, anonymousId, userId, partition]);
  const known = history.atoms.get(key);
  const atom = known ?? { site, anonymousId, userId, atom: (history.atoms.size + 1) * 64 + partition };
  if (known === undefined) {
    history.atoms.set(key, atom);
    added.atoms.push(atom);
  }
  const stated: [IdentityEdge["kind"], string, string][] = [];
  const login = kind === "import" ? kind : "login";
  if (anonymousId !== "" && userId !== "") stated.push([login, userId, login]);
  if (kind === "alias" && userId !== "") stated.push(["alias", other, "alias"]);
  if (kind === "email" || kind === "phone") stated.push([kind, emailHash(other), rule]);
  const offset = history.offset++;
  const time = start + day * 24 * 3_600_000;
  for (const [edgeKind, otherId, edgeRule] of stated)
    added.edges.push({
      site,
      kind: edgeKind,
      anonymousId,
      userId,
      other: otherId,
      rule: edgeRule,
      time,
      atom: atom.atom,
      partition,
      offset,
    });
}

/** The edges of the site, as a decision names them. */
function keysIn(history: History, rules: IdentityRules): EdgeKey[] {
  const nodes = createNodeReader(rules);
  return history.edges.filter(({ site }) => site === "shop").flatMap((edge) => keysOfEdge(edge, nodes) ?? []);
}

/** So many of these from that place on, round and round. */
const pick = <T>(values: readonly T[], at: number, count: number): T[] =>
  values.length === 0 ? [] : Array.from({ length: count }, (_, n) => values.at((at + n) % values.length)!);

/** Whose every identity is, by the resolver, from everything at once. Erased: nobody's. */
function expectedPersons(history: History, rulesOf: ReadonlyMap<string, IdentityRules>): [number, number][] {
  const erased = new Set(history.erased.map(({ atom }) => atom));
  const isThere = ({ atom }: { atom: number }): boolean => !erased.has(atom);
  const sites = new Set([...history.atoms.values()].map(({ site }) => site));
  const persons = new Map([...erased].map((atom) => [atom, 0]));
  for (const site of sites) {
    const isOfSite = (one: { site: string }): boolean => one.site === site;
    const found = resolvePeople({
      atoms: [...history.atoms.values()].filter(
        (one) => isOfSite(one) && isThere(one) && !history.ties.has(one.atom) && one.anonymousId + one.userId !== "",
      ),
      edges: history.edges.filter((one) => isOfSite(one) && isThere(one)),
      decisions: history.decisions.filter(isOfSite),
      rules: rulesOf.get(site) ?? defaultIdentityRules,
    });
    for (const [atom, person] of found.persons) persons.set(atom, person);
  }
  for (const { atom } of history.atoms.values()) {
    const end = endOf(history.ties, atom);
    if (!persons.has(atom)) persons.set(atom, persons.get(end) ?? end);
  }
  return [...persons].toSorted(([a], [b]) => a - b);
}

export interface TestedStore {
  add(added: Added): Promise<void>;
  persons(): Promise<[number, number][]>;
  /** Forgets all that was worked out, and nothing of what it was worked out from. */
  forget(): Promise<void>;
  /** A settler that begins where another one ended. `failAfter` writes it is cut off. */
  settler(rules: () => ReadonlyMap<string, IdentityRules>, failAfter?: number): { tick(): Promise<unknown> };
}

/** Carries out the steps and looks after each: what came out is what the resolver says of everything. So again after a rebuild. */
export async function runHistory(store: TestedStore, firstRules: IdentityRules, steps: readonly Step[]): Promise<void> {
  const history = newHistory();
  const rules = new Map([["shop", firstRules]]);
  let settler = store.settler(() => rules);
  const look = async (when: string): Promise<void> => {
    const wanted = JSON.stringify(expectedPersons(history, rules));
    const found = JSON.stringify(await store.persons());
    if (wanted !== found) throw new Error(`${when}: persons are\n${found} and not\n${wanted}`);
  };
  for (const [n, step] of steps.entries()) {
    if (step.do === "rules") rules.set("shop", step.rules);
    if (step.do === "restart") settler = store.settler(() => rules);
    await store.add(addStep(history, step, rules.get("shop")!));
    if (step.do === "cut") {
      // What came in is only settled after another worker was cut off while it did so.
      const next = steps[n + 1];
      if (next?.do === "say") continue;
    }
    const before = steps[n - 1];
    if (before?.do === "cut") {
      await store
        .settler(() => rules, before.after)
        .tick()
        .catch(() => undefined);
      settler = store.settler(() => rules);
    }
    await settler.tick();
    await look(`after step ${n}`);
  }
  await store.forget();
  await store.settler(() => rules).tick();
  await look("after a rebuild");
}
