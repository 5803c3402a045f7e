import {
  createNodeReader,
  decidedNodes,
  defaultIdentityRules,
  fetchNeighbourhood,
  identityRulesHash,
  keysOfEdge,
  resolvePeople,
  type IdentityDecision,
  type IdentityEnds,
  type IdentityPosition,
  type IdentityRules,
  type IdentityStore,
  type IdentityView,
  type Logger,
  type NodeReader,
  type SiteAtom,
  type SiteEdge,
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
/** Nodes that are remembered at most, so that a look at everything needs no memory for everything. */
const maxDone = 200_000;

/**
 * Brings `identity` to what {@link resolvePeople} says of everything that is stored, by looking only at what is new and at the people around it. The
 * position is written last, so that whoever is cut off anywhere does the same again.
 */
export function createPeopleSettler(options: PeopleSettlerOptions): PeopleSettler {
  const { store, logger, now, chunk = defaultChunk } = options;
  const rulesNow = options.rules ?? (() => new Map<string, IdentityRules>());
  let position: IdentityPosition | undefined;
  let isRead = false;
  let isResumed = true;
  let isPublished = false;
  let isDoubted = false;
  let decisions: readonly IdentityDecision[] = [];
  let decisionsOf: ReadonlyMap<string, IdentityDecision[]> = new Map();
  /** By site, the smallest atoms of quarantined people. */
  let quarantined = new Map<string, Map<number, number>>();

  async function read(): Promise<void> {
    position = await store.position();
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

  async function tick(): Promise<Settled> {
    if (!isRead) await read();
    const { ends, held, heldBefore } = await store.ends(position);
    const erasures = await store.countErasures();
    const rules = rulesNow();
    const before = position;
    // The log went back: a backup was restored, or tables were emptied.
    const isBehind =
      before !== undefined && !(isCovered(before.atoms, ends.atoms) && isCovered(before.edges, ends.edges));
    const isAnew = before === undefined || isDoubted || isBehind;
    isDoubted = false;
    const sitesAnew =
      before === undefined ? new Set<string>() : changedSites(before, { rules, erasures, held: heldBefore });
    // An erasure takes decisions away, or ids out of them.
    if (isAnew || sitesAnew.size > 0 || (await store.countDecisions()) !== decisions.length) {
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
      const version = Math.max(now().getTime(), (before?.version ?? 0) + 1);
      const run = createRun({ rules, version, upTo: ends });
      try {
        if (isAnew || sitesAnew.size > 0) await settleAnew(run, isAnew ? undefined : sitesAnew);
        if (!isAnew) await settleFresh(run, before, fresh);
        changed = run.changed + (await store.hideErased(version));
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
      isResumed = false;
    }
    await publish();
    return { changed, quarantined: [...quarantined.values()].reduce((sum, { size }) => sum + size, 0) };
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
    /** By site, nodes that this run is through with. Some of them: it only saves looking at them again. */
    done: Map<string, Set<string>>;
  }
  const createRun = (run: Pick<Run, "rules" | "version" | "upTo">): Run => ({
    ...run,
    changed: 0,
    sites: new Set(),
    done: new Map(),
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

  async function settleAnew(run: Run, sites: ReadonlySet<string> | undefined): Promise<void> {
    const view: IdentityView = { upTo: run.upTo, before: undefined };
    const isWanted = ({ site }: { site: string }): boolean => sites === undefined || sites.has(site);
    const range = { since: undefined, upTo: run.upTo, limit: chunk };
    const edges = createPages((after) => store.freshEdges({ ...range, after }), placeOf, beforeAll, chunk);
    const seeds = createSeeds();
    addDecided(seeds, decisions.filter(isWanted));
    while (!edges.isOver() || seeds.isNotEmpty()) {
      addEdges(seeds, run, (await edges.next()).filter(isWanted));
      await settle(run, seeds, view);
      seeds.clear();
    }
    const blocked = [...new Set([...run.rules.values()].flatMap((rules) => rules.blocked))];
    const repeated = createPages(
      (after) => store.repeatedAtoms({ after, limit: chunk, blocked }),
      ({ atom }) => atom,
      0,
      chunk,
    );
    await settleAtoms(run, repeated, view, isWanted);
    await settleOverridden(run, view, 0, isWanted);
  }

  const settleOverridden = (
    run: Run,
    view: IdentityView,
    sinceVersion: number,
    isWanted: (atom: SiteAtom) => boolean = () => true,
  ): Promise<void> => {
    const fetch = (after: number): Promise<SiteAtom[]> =>
      store.overriddenAtoms({ after, limit: chunk, sinceVersion, beforeVersion: run.version });
    return settleAtoms(
      run,
      createPages(fetch, ({ atom }) => atom, 0, chunk),
      view,
      isWanted,
    );
  };

  async function settleAtoms(
    run: Run,
    pages: Pages<SiteAtom>,
    view: IdentityView,
    isWanted: (atom: SiteAtom) => boolean,
  ): Promise<void> {
    while (!pages.isOver()) {
      const seeds = createSeeds();
      addAtoms(seeds, run, (await pages.next()).filter(isWanted));
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
      // Nameless after a withdrawal: it stays whose it was.
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
      const done = doneOf(run, site);
      if (view.before === undefined) leaveOut(ofSite, done, createNodeReader(rules));
      if (ofSite.nodes.size + ofSite.atoms.length === 0) continue;
      const around = await fetchNeighbourhood(ofSite, { store, site, rules, decisions: ofDecisions, view });
      const atoms = new Map(around.atoms.map((atom) => [atom.atom, atom]));
      for (const { site: _, ...atom } of ofSite.atoms) atoms.set(atom.atom, atom);
      const found = resolvePeople({ atoms: [...atoms.values()], edges: around.edges, decisions: ofDecisions, rules });
      const stored = await store.personsOf([...found.persons.keys()]);
      const rows: { site: string; atom: number; person: number }[] = [];
      for (const [atom, person] of found.persons) {
        const was = stored.get(atom) ?? atom;
        // Erased: nobody's, whatever its ids say.
        if (was !== person && was !== 0) rows.push({ site, atom, person });
      }
      await store.writePersons(rows, run.version);
      run.changed += rows.length;
      await writeQuarantined(run, site, found);
      if (view.before === undefined) for (const node of around.nodes) done.add(node);
    }
  }

  async function writeQuarantined(
    { version }: Run,
    site: string,
    { persons, quarantined: found }: ReturnType<typeof resolvePeople>,
  ): Promise<void> {
    const known = quarantineOf(site);
    const now_ = new Map(found.map(({ atom, atoms }) => [atom, atoms]));
    const fresh = found.filter(({ atom }) => !known.has(atom));
    const changed = found.filter(({ atom, atoms }) => known.get(atom) !== atoms);
    const released = [...known].filter(([atom]) => persons.has(atom) && !now_.has(atom));
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

function doneOf({ done }: { done: Map<string, Set<string>> }, site: string): Set<string> {
  const nodes = done.get(site) ?? new Set<string>();
  if (nodes.size > maxDone) nodes.clear();
  done.set(site, nodes);
  return nodes;
}

/** Of a look at everything: what an earlier page came by. Whoever states a contact is looked at anyway. */
function leaveOut({ atoms, nodes, contacts }: SiteSeeds, done: ReadonlySet<string>, reader: NodeReader): void {
  contacts.clear();
  for (const node of nodes) if (done.has(node)) nodes.delete(node);
  const left = atoms.filter(({ anonymousId, userId }) => !done.has(reader.ofAtom(anonymousId, userId) ?? ""));
  atoms.splice(0, atoms.length, ...left);
}

const hashOf = (rules: ReadonlyMap<string, IdentityRules>, site: string): string =>
  identityRulesHash(rules.get(site) ?? defaultIdentityRules);

const knownSites = (position: IdentityPosition | undefined): string[] => [...(position?.rules.keys() ?? [])];

/** Whether `ends` has nothing beyond `by`. */
const isCovered = (ends: ReadonlyMap<number, number>, by: ReadonlyMap<number, number>): boolean =>
  [...ends].every(([key, end]) => end <= (by.get(key) ?? -1));

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
