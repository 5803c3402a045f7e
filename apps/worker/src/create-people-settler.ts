import {
  createNodeReader,
  createNumberMap,
  createPeopleSorter,
  createUnionFind,
  decidedEdges,
  decidedNodes,
  defaultIdentityRules,
  fetchNeighbourhood,
  identityRulesHash,
  deviceNode,
  keysOfEdge,
  resolvePeople,
  userNode,
  type IdentityAtom,
  type IdentityDecision,
  type IdentityEdge,
  type IdentityEnds,
  type IdentityPosition,
  type IdentityRules,
  type IdentityStore,
  type IdentityTie,
  type IdentityView,
  type Logger,
  type NodeReader,
  type Resolution,
  type SiteAtom,
  type SiteEdge,
  type SortedPeople,
  type TiedBy,
} from "@polder/core";

export interface PeopleSettlerOptions {
  store: IdentityStore;
  /** By site, asked on every tick. A site that is not there is settled by the built-in rules. */
  rules?: () => ReadonlyMap<string, IdentityRules>;
  logger: Logger;
  now: () => Date;
  /** Identities, or edges, that are looked at in one go. Memory grows with it, and with the people that they belong to. */
  chunk?: number;
}

export interface Settled {
  /** Identities whose person changed. */
  changed: number;
  /** People that are quarantined, in all. */
  quarantined: number;
}

export interface PeopleSettler {
  /** Looks at what is new since the last time, of this process or another one, and settles who it belongs to. */
  tick(): Promise<Settled>;
  /** Rows were removed: the next tick works everything out anew. */
  doubt(): void;
}

const defaultChunk = 20_000;
const rowsAtOnce = 50_000;
/** Identities of which there is a question that are held in memory at once, in full and with their edges, in a look at everything. */
const atomsOfLot = 250_000;

interface PersonRow {
  site: string;
  atom: number;
  person: number;
}
interface Part {
  atoms: IdentityAtom[];
  edges: IdentityEdge[];
}
type TooLarge = Resolution["quarantined"][number];

/**
 * Brings `identity` to what {@link resolvePeople} says of everything that is stored, by looking only at what is new and at the people around it. The
 * position is written last, so that whoever is cut off anywhere does the same again.
 */
export function createPeopleSettler(options: PeopleSettlerOptions): PeopleSettler {
  const { store, logger, now, chunk = defaultChunk } = options;
  const rulesNow = options.rules ?? (() => new Map<string, IdentityRules>());
  let position: IdentityPosition | undefined;
  /** Of what is written: a worker that was cut off may have had a clock that was ahead, and the greatest version holds. */
  let greatest = 0;
  let isRead = false;
  let isResumed = true;
  let isPublished = false;
  let isDoubted = false;
  /** What there was when it was last settled: most looks find nothing new, and then only this is compared. */
  let settledMark: string | undefined;
  let decisions: readonly IdentityDecision[] = [];
  let decisionsOf: ReadonlyMap<string, IdentityDecision[]> = new Map();
  /** By site, the smallest atoms of quarantined people. */
  let quarantined = new Map<string, Map<number, number>>();

  async function read(): Promise<void> {
    position = await store.position();
    greatest = await store.greatestVersion();
    quarantined = new Map();
    for (const { site, atom, atoms } of await store.quarantined()) quarantineOf(site).set(atom, atoms);
    isRead = true;
    isResumed = true;
  }
  const quarantineOf = (site: string): Map<number, number> => {
    const found = quarantined.get(site) ?? new Map<number, number>();
    quarantined.set(site, found);
    return found;
  };

  const countQuarantined = (): number => [...quarantined.values()].reduce((sum, { size }) => sum + size, 0);

  async function tick(): Promise<Settled> {
    if (!isRead) await read();
    const mark = await markOf(rulesNow());
    if (mark !== undefined && mark === settledMark && !isDoubted && isPublished)
      return { changed: 0, quarantined: countQuarantined() };
    // At once: a login is waited for. What is decided or erased from here on is of the next look.
    const [{ ends, held, heldBefore }, erasures, decisionCount] = await Promise.all([
      store.ends(position),
      store.countErasures(),
      store.countDecisions(),
    ]);
    const rules = rulesNow();
    const before = position;
    // A backup was restored, or tables were emptied. Edges may end earlier as well when some were removed: then fewer are held.
    const isBehind = before !== undefined && !isCovered(before.atoms, ends.atoms);
    const isAnew = before === undefined || isDoubted || isBehind;
    isDoubted = false;
    const sitesAnew =
      before === undefined ? new Set<string>() : changedSites(before, { rules, erasures, held: heldBefore });
    // An erasure takes decisions away, or ids out of them.
    if (isAnew || sitesAnew.size > 0 || decisionCount !== decisions.length) {
      decisions = await store.decisions();
      decisionsOf = groupBySite(decisions);
    }
    const fresh = decisions.filter(({ id }) => !before?.decisions.has(id));
    const isNew =
      isAnew ||
      sitesAnew.size > 0 ||
      fresh.length > 0 ||
      !isCovered(ends.atoms, before.atoms) ||
      !isCovered(ends.edges, before.edges);
    let changed = 0;
    if (isNew) {
      // Another worker may have written since.
      greatest = Math.max(greatest, await store.greatestVersion());
      const version = Math.max(now().getTime(), (before?.version ?? 0) + 1, greatest + 1);
      const run = createRun({ rules, version, upTo: ends });
      try {
        if (isAnew || sitesAnew.size > 0) await settleAnew(run, isAnew ? await store.sites() : sitesAnew);
        if (!isAnew) await settleFresh(run, before, fresh);
        const isErased = isAnew || isResumed || differs(before.erasures, erasures);
        changed = run.changed + (isErased ? await store.hideErased(version) : 0);
      } catch (error) {
        isRead = false;
        isDoubted ||= isAnew;
        throw error;
      }
      if (changed > 0) isPublished = false;
      await publish();
      const settled: IdentityPosition = {
        ...ends,
        held,
        rules: new Map(
          [...knownSites(before), ...rules.keys(), ...run.sites].map((site) => [site, hashOf(rules, site)]),
        ),
        decisions: new Set(decisions.map(({ id }) => id)),
        erasures,
        version,
      };
      await store.writePosition(settled);
      position = settled;
      greatest = version;
      isResumed = false;
    }
    await publish();
    settledMark = mark;
    return { changed, quarantined: countQuarantined() };
  }

  /** Of everything that people depend on, as it is before the rest is looked at. */
  async function markOf(rules: ReadonlyMap<string, IdentityRules>): Promise<string | undefined> {
    const mark = await store.changeMark();
    return mark && JSON.stringify([mark, [...rules.keys()].map((site) => [site, hashOf(rules, site)])]);
  }

  async function publish(): Promise<void> {
    if (isPublished) return;
    await store.publishPersons();
    isPublished = true;
  }

  interface Run {
    rules: ReadonlyMap<string, IdentityRules>;
    version: number;
    upTo: IdentityEnds;
    changed: number;
    sites: Set<string>;
  }
  const createRun = (run: Pick<Run, "rules" | "version" | "upTo">): Run => ({
    ...run,
    changed: 0,
    sites: new Set(),
  });
  const rulesOf = ({ rules }: Run, site: string): IdentityRules => rules.get(site) ?? defaultIdentityRules;

  async function settleFresh(run: Run, before: IdentityPosition, fresh: readonly IdentityDecision[]): Promise<void> {
    const view: IdentityView = { upTo: run.upTo, before };
    const range = { since: before, upTo: run.upTo, limit: chunk };
    const atoms = createPages(
      (after) => store.freshAtoms({ ...range, after }),
      ({ atom }) => atom,
      0,
      chunk,
    );
    const edges = createPages((after) => store.freshEdges({ ...range, after }), placeOf, beforeAll, chunk);
    const seeds = createSeeds();
    addDecided(seeds, fresh);
    while (!atoms.isOver() || !edges.isOver() || seeds.isNotEmpty()) {
      // Together: an identity and the edge that ties it mostly come at once.
      const [someAtoms, someEdges] = await Promise.all([atoms.next(), edges.next()]);
      addAtoms(seeds, run, someAtoms);
      addEdges(seeds, run, someEdges);
      await settle(run, seeds, view);
      seeds.clear();
    }
    // What a run that was cut off wrote beyond the position is worked out again with all that has come since.
    if (isResumed) await settleOverridden(run, view, before.version);
  }

  /** Looks at everything of each of these sites in numbers, and reads in full only of whom there is a question. */
  async function settleAnew(run: Run, sites: Iterable<string>): Promise<void> {
    for (const site of sites) {
      run.sites.add(site);
      const rules = rulesOf(run, site);
      const ofDecisions = decisionsOf.get(site) ?? [];
      const ties = tiesByAtom(await store.tiesOf(site));
      const sorted = await sort(run, site, ties);
      /** What is stored of all but the erased, who are nobody's, whatever their ids say. */
      const stored = createNumberMap();
      const erased = new Set<number>();
      const unknown: number[] = [];
      for await (const rows of store.allPersons(site))
        for (const { atom, person } of rows) {
          if (person === 0) erased.add(atom);
          else stored.set(atom, person);
          if (person !== 0 && person !== atom && !sorted.isKnown(atom) && !ties.has(atom)) unknown.push(atom);
        }

      let rows: PersonRow[] = [];
      const write = async (isLast: boolean): Promise<void> => {
        if (rows.length === 0 || (rows.length < rowsAtOnce && !isLast)) return;
        await store.writePersons(rows, run.version);
        run.changed += rows.length;
        rows = [];
      };
      const followed = new Map<number, number | undefined>([...ties.values()].map((other) => [other, undefined]));
      const add = (atom: number, person: number): void => {
        if (followed.has(atom)) followed.set(atom, person);
        if ((stored.get(atom) || atom) !== person && !erased.has(atom)) rows.push({ site, atom, person });
      };
      const settled = new Set(quarantineOf(site).keys());
      const stillTooLarge = new Map<number, number>();
      for (const [atom, person] of sorted.certain()) {
        add(atom, person);
        if (rows.length >= rowsAtOnce) await write(false);
      }
      // Its ids stand for nobody any more.
      for (const atom of await store.namedAtoms(site, unknown, run.upTo)) add(atom, atom);
      for (let lot = 0; lot < sorted.lots; lot++)
        for await (const { atoms, edges } of readLot(run, { site, sorted, lot })) {
          const found = resolvePeople({ atoms, edges, decisions: ofDecisions, rules });
          for (const [atom, person] of found.persons) add(atom, person);
          await write(false);
          for (const { atom, atoms: size } of found.quarantined) stillTooLarge.set(atom, size);
        }
      for (const atom of ties.keys()) {
        const last = endOfTies(ties, atom);
        add(atom, followed.get(last) ?? last);
      }
      await write(true);
      const found = [...stillTooLarge].map(([atom, atoms]) => ({ atom, atoms }));
      await writeQuarantined(run, site, { isSettled: (atom) => settled.has(atom), quarantined: found });
    }
  }

  /** @param ties of the nameless: they are no part of anything. */
  async function sort(run: Run, site: string, ties: ReadonlyMap<number, number>): Promise<SortedPeople> {
    const rules = rulesOf(run, site);
    const sorter = createPeopleSorter(rules);
    const named = (atoms: readonly number[]): readonly number[] =>
      ties.size === 0 ? atoms : atoms.filter((atom) => !ties.has(atom));
    const addAll = async (by: TiedBy, add: (atoms: readonly number[]) => void): Promise<void> => {
      for await (const some of store.allTied(site, by, { blocked: rules.blocked, upTo: run.upTo }))
        for (const atoms of some) {
          const left = named(atoms);
          if (left.length > 0) add(left);
        }
    };
    await Promise.all([addAll("user", sorter.addUser), addAll("device", sorter.addDevice)]);
    await Promise.all([
      addAll("login", ([atom]) => sorter.addLogin(atom!)),
      addAll("contact", sorter.addContact),
      addAll("alias", sorter.addOdd),
    ]);
    const decided = decidedParts(decisionsOf.get(site) ?? [], createNodeReader(rules));
    const ids = { users: idsIn(decided.keys(), "user:"), devices: idsIn(decided.keys(), "device:") };
    const ofPart = new Map<string, number[]>();
    for (const { atom, anonymousId, userId } of await store.atomsNaming(site, ids, run.upTo))
      for (const node of [userNode(userId), deviceNode(anonymousId)]) {
        const part = decided.get(node);
        if (part !== undefined) ofPart.set(part, [...(ofPart.get(part) ?? []), atom]);
      }
    for (const atoms of ofPart.values()) sorter.addOdd(named(atoms));
    return sorter.sort(atomsOfLot);
  }

  /** Of what is not certain so much as is looked at together, in parts that have nothing to do with each other. */
  async function* readLot(
    run: Run,
    { site, sorted, lot }: { site: string; sorted: SortedPeople; lot: number },
  ): AsyncIterable<Part> {
    const parts = new Map<number, Part>();
    const partOf = (atom: number): Part => {
      const number = sorted.partOf(atom)!;
      const part = parts.get(number) ?? { atoms: [], edges: [] };
      parts.set(number, part);
      return part;
    };
    const isWanted = (atom: number): boolean => {
      const part = sorted.partOf(atom);
      return part !== undefined && sorted.lotOf(part) === lot;
    };
    for await (const some of store.allAtoms(site, run.upTo, isWanted))
      for (const atom of some) partOf(atom.atom).atoms.push(atom);
    for await (const some of store.allEdges(site, run.upTo, isWanted))
      for (const edge of some) partOf(edge.atom).edges.push(edge);
    let together: Part = { atoms: [], edges: [] };
    for (const [number, { atoms, edges }] of parts) {
      parts.delete(number);
      for (const atom of atoms) together.atoms.push(atom);
      for (const edge of edges) together.edges.push(edge);
      if (together.atoms.length + together.edges.length < chunk) continue;
      yield together;
      together = { atoms: [], edges: [] };
    }
    if (together.atoms.length > 0) yield together;
  }

  async function settleOverridden(run: Run, view: IdentityView, sinceVersion: number): Promise<void> {
    const pages = createPages(
      (after) => store.overriddenAtoms({ after, limit: chunk, sinceVersion, beforeVersion: run.version }),
      ({ atom }) => atom,
      0,
      chunk,
    );
    while (!pages.isOver()) {
      const seeds = createSeeds();
      addAtoms(seeds, run, await pages.next());
      await settle(run, seeds, view);
    }
  }

  function addDecided(seeds: SeedsBySite, some: readonly IdentityDecision[]): void {
    const byId = new Map(decisions.map((decision) => [decision.id, decision]));
    for (const decision of some) {
      const { nodes, contacts } = decidedNodes([decision, ...undoneBy(decision, byId)]);
      for (const node of nodes) seeds.of(decision.site).nodes.add(node);
      for (const contact of contacts) seeds.of(decision.site).contacts.add(contact);
    }
  }

  function addAtoms(seeds: SeedsBySite, run: Run, atoms: readonly SiteAtom[]): void {
    for (const atom of atoms) {
      // Nameless after a withdrawal: it goes where its tie leads.
      if (atom.anonymousId === "" && atom.userId === "") continue;
      const ofSite = seeds.of(atom.site);
      ofSite.atoms.push(atom);
      const node = createNodeReader(rulesOf(run, atom.site)).ofAtom(atom.anonymousId, atom.userId);
      if (node !== undefined) ofSite.nodes.add(node);
    }
  }

  function addEdges(seeds: SeedsBySite, run: Run, edges: readonly SiteEdge[]): void {
    for (const edge of edges) {
      const nodes = createNodeReader(rulesOf(run, edge.site));
      const key = keysOfEdge(edge, nodes);
      const ofSite = seeds.of(edge.site);
      if (key === undefined) {
        // Two identities of one device, as one of them has an id that stands for nobody.
        const node = nodes.ofAtom(edge.anonymousId, edge.userId);
        if (node !== undefined) ofSite.nodes.add(node);
        continue;
      }
      ofSite.nodes.add(key.node);
      if (key.kind === "login") ofSite.nodes.add(key.other);
      if (key.kind === "email" || key.kind === "phone") ofSite.contacts.add(`${key.kind}:${key.other}`);
      if (key.kind === "alias")
        for (const node of [nodes.user(key.other), nodes.device(key.other)])
          if (node !== undefined) ofSite.nodes.add(node);
    }
  }

  async function settle(run: Run, seeds: SeedsBySite, view: IdentityView): Promise<void> {
    for (const [site, ofSite] of seeds.entries()) {
      run.sites.add(site);
      const rules = rulesOf(run, site);
      const ofDecisions = decisionsOf.get(site) ?? [];
      if (ofSite.nodes.size + ofSite.atoms.length === 0) continue;
      const around = await fetchNeighbourhood(ofSite, { store, site, rules, decisions: ofDecisions, view });
      const atoms = new Map(around.atoms.map((atom) => [atom.atom, atom]));
      for (const { site: _, ...atom } of ofSite.atoms) atoms.set(atom.atom, atom);
      const ties = await store.tiesOf(site, [...atoms.keys()]);
      // About to be nameless: no part of anything any more.
      for (const { atom } of ties) atoms.delete(atom);
      const found = resolvePeople({ atoms: [...atoms.values()], edges: around.edges, decisions: ofDecisions, rules });
      const withNameless = await followTies(site, found.persons, ties);
      const stored = await store.personsOf([...withNameless.keys()]);
      const rows: PersonRow[] = [];
      for (const [atom, person] of withNameless) {
        const was = stored.get(atom) ?? atom;
        // Erased: nobody's, whatever its ids say.
        if (was !== person && was !== 0) rows.push({ site, atom, person });
      }
      await store.writePersons(rows, run.version);
      run.changed += rows.length;
      const { persons, quarantined: tooLarge } = found;
      await writeQuarantined(run, site, { isSettled: (atom) => persons.has(atom), quarantined: tooLarge });
    }
  }

  /** The persons of these identities and of all the nameless that are tied to them, one by another. */
  async function followTies(
    site: string,
    persons: ReadonlyMap<number, number>,
    first: readonly IdentityTie[],
  ): Promise<ReadonlyMap<number, number>> {
    const found = new Map(persons);
    for (let ties = first; ties.length > 0;) {
      const fresh = ties.filter(({ atom, other }) => found.has(other) && !found.has(atom));
      for (const { atom, other } of fresh) found.set(atom, found.get(other)!);
      ties =
        fresh.length === 0
          ? []
          : await store.tiesOf(
              site,
              fresh.map(({ atom }) => atom),
            );
    }
    return found;
  }

  async function writeQuarantined(
    { version }: Run,
    site: string,
    { isSettled, quarantined: found }: { isSettled: (atom: number) => boolean; quarantined: readonly TooLarge[] },
  ): Promise<void> {
    const known = quarantineOf(site);
    const now_ = new Map(found.map(({ atom, atoms }) => [atom, atoms]));
    const fresh = found.filter(({ atom }) => !known.has(atom));
    const changed = found.filter(({ atom, atoms }) => known.get(atom) !== atoms);
    const released = [...known].filter(([atom]) => isSettled(atom) && !now_.has(atom));
    if (changed.length + released.length === 0) return;
    await store.writeQuarantined(
      [
        ...changed.map((one) => ({ site, ...one, isReleased: false })),
        ...released.map(([atom, atoms]) => ({ site, atom, atoms, isReleased: true })),
      ],
      version,
    );
    for (const { atom, atoms } of changed) known.set(atom, atoms);
    for (const [atom] of released) known.delete(atom);
    for (const { atom, atoms } of fresh)
      logger.warn("a person has more identities than a person may have: quarantined, each stands alone", {
        site,
        person: atom,
        identities: atoms,
        next: "see GET /v1/people/<person>/why for what joins them, and identity.maxAtoms",
      });
  }

  return {
    async tick() {
      try {
        return await tick();
      } catch (error) {
        // Whatever was away may have come back with what it had long ago.
        isPublished = false;
        settledMark = undefined;
        throw error;
      }
    },
    doubt() {
      isDoubted = true;
    },
  };

  function changedSites(
    before: IdentityPosition,
    found: {
      rules: ReadonlyMap<string, IdentityRules>;
      erasures: ReadonlyMap<string, number>;
      held: ReadonlyMap<string, number>;
    },
  ): Set<string> {
    const sites = new Set<string>();
    // A site that was never settled has nothing that other rules have made.
    for (const [site, hash] of before.rules) if (hashOf(found.rules, site) !== hash) sites.add(site);
    // Rows are removed by a withdrawal, by an erasure, and by age.
    for (const counts of ["erasures", "held"] as const)
      for (const site of new Set([...before[counts].keys(), ...found[counts].keys()]))
        if ((before[counts].get(site) ?? 0) !== (found[counts].get(site) ?? 0)) sites.add(site);
    return sites;
  }
}

interface SiteSeeds {
  atoms: SiteAtom[];
  nodes: Set<string>;
  contacts: Set<string>;
}

interface SeedsBySite {
  of(site: string): SiteSeeds;
  entries(): Iterable<[string, SiteSeeds]>;
  isNotEmpty(): boolean;
  clear(): void;
}

function createSeeds(): SeedsBySite {
  const sites = new Map<string, SiteSeeds>();
  return {
    of(site) {
      const found = sites.get(site) ?? { atoms: [], nodes: new Set(), contacts: new Set() };
      sites.set(site, found);
      return found;
    },
    entries: () => sites,
    isNotEmpty: () => sites.size > 0,
    clear: () => sites.clear(),
  };
}

/** Rows in an order, each page after the last row of the one before. */
interface Pages<Row> {
  /** Empty when there are none left. */
  next(): Promise<Row[]>;
  isOver(): boolean;
}

function createPages<Row, Place>(
  fetch: (after: Place) => Promise<Row[]>,
  placeOfRow: (row: Row) => Place,
  first: Place,
  limit: number,
): Pages<Row> {
  let after = first;
  let isOver = false;
  return {
    isOver: () => isOver,
    async next() {
      if (isOver) return [];
      const rows = await fetch(after);
      isOver = rows.length < limit;
      const last = rows.at(-1);
      if (last !== undefined) after = placeOfRow(last);
      return rows;
    },
  };
}

const beforeAll = { partition: -1, offset: -1 };
const placeOf = ({ partition, offset }: SiteEdge): { partition: number; offset: number } => ({ partition, offset });

const hashOf = (rules: ReadonlyMap<string, IdentityRules>, site: string): string =>
  identityRulesHash(rules.get(site) ?? defaultIdentityRules);

const knownSites = (position: IdentityPosition | undefined): string[] => [...(position?.rules.keys() ?? [])];

/** Whether `ends` has nothing beyond `by`. */
const isCovered = (ends: ReadonlyMap<number, number>, by: ReadonlyMap<number, number>): boolean =>
  [...ends].every(([key, end]) => end <= (by.get(key) ?? -1));

/** By node that some decision names: one of the nodes that decisions tie it to, the same for all of them. */
function decidedParts(
  decisions: readonly IdentityDecision[],
  reader: Pick<NodeReader, "isNode">,
): ReadonlyMap<string, string> {
  const { find, join } = createUnionFind();
  for (const { key } of decidedEdges(decisions).manual.values()) join(key.node, key.other);
  const nodes = [...decidedNodes(decisions).nodes].filter((node) => reader.isNode(node));
  return new Map(nodes.map((node) => [node, find(node)]));
}

const tiesByAtom = (ties: readonly IdentityTie[]): ReadonlyMap<number, number> =>
  new Map(ties.map(({ atom, other }) => [atom, other]));

/** What the ties of an identity lead to. A circle cannot come about; were there one, its smallest would do. */
function endOfTies(ties: ReadonlyMap<number, number>, atom: number): number {
  const passed = new Set<number>();
  let at = atom;
  for (let next = ties.get(at); next !== undefined; next = ties.get(at)) {
    if (passed.has(next)) return Math.min(...passed);
    passed.add(next);
    at = next;
  }
  return at;
}

const idsIn = (nodes: Iterable<string>, prefix: string): string[] =>
  [...nodes].filter((node) => node.startsWith(prefix)).map((node) => node.slice(prefix.length));

const differs = (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean =>
  a.size !== b.size || [...a].some(([site, count]) => b.get(site) !== count);

function undoneBy(decision: IdentityDecision, byId: ReadonlyMap<string, IdentityDecision>): IdentityDecision[] {
  const undone: IdentityDecision[] = [];
  for (let at = byId.get(decision.undoes); at !== undefined && undone.length < 1_000; at = byId.get(at.undoes))
    undone.push(at);
  return undone;
}

function groupBySite(decisions: readonly IdentityDecision[]): Map<string, IdentityDecision[]> {
  const sites = new Map<string, IdentityDecision[]>();
  for (const decision of decisions) {
    const some = sites.get(decision.site);
    if (some === undefined) sites.set(decision.site, [decision]);
    else some.push(decision);
  }
  return sites;
}
