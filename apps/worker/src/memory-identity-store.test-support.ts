import {
  createBlockedCheck,
  createNodeReader,
  type IdentityDecision,
  type IdentityEdge,
  type IdentityEnds,
  type IdentityPosition,
  type IdentityStore,
  type QuarantinedPerson,
  type SiteAtom,
  type StoredEdge,
} from "@polder/core";

export interface MemoryEdge extends IdentityEdge {
  site: string;
  atom: number;
  partition: number;
  offset: number;
}

/** What the tables hold; a test writes to it. */
export interface MemoryIdentity {
  atoms: SiteAtom[];
  edges: MemoryEdge[];
  decisions: IdentityDecision[];
  erased: { site: string; atom: number }[];
  ties: { site: string; atom: number; other: number }[];
  identity: Map<number, { site: string; person: number; version: number }>;
  position: IdentityPosition | undefined;
  quarantine: Map<string, QuarantinedPerson>;
  /** Identities and edges that were handed out: how much was looked at. */
  handedOut: number;
}

export const newMemoryIdentity = (): MemoryIdentity => ({
  atoms: [],
  edges: [],
  decisions: [],
  erased: [],
  ties: [],
  identity: new Map(),
  position: undefined,
  quarantine: new Map(),
  handedOut: 0,
});

/** The port over arrays, so that thousands of histories are tried; the store over the engine runs the same property. */
export function createMemoryIdentityStore(memory: MemoryIdentity): IdentityStore {
  const isThere = ({ atom }: { atom: number }): boolean => !memory.erased.some((one) => one.atom === atom);
  const atomIsWithin = (ends: Pick<IdentityEnds, "atoms">, { atom }: { atom: number }): boolean =>
    atom <= (ends.atoms.get(atom % 64) ?? 0);
  const edgeIsWithin = (ends: Pick<IdentityEnds, "edges"> | undefined, { partition, offset }: MemoryEdge): boolean =>
    offset <= (ends?.edges.get(partition) ?? -1);
  const handOut = <T>(rows: T[]): T[] => {
    memory.handedOut += rows.length;
    return rows;
  };
  const byPlace = (a: MemoryEdge, b: MemoryEdge): number => a.partition - b.partition || a.offset - b.offset;
  const { isBlockedId } = createBlockedCheck({ blocked: [] });
  // As a table that keeps the row of the greatest version.
  const writePerson = (atom: number, row: { site: string; person: number; version: number }): void => {
    if (row.version >= (memory.identity.get(atom)?.version ?? 0)) memory.identity.set(atom, row);
  };

  return {
    changeMark: async () =>
      JSON.stringify([
        memory.atoms.length,
        memory.edges.map(({ partition, offset }) => [partition, offset]),
        memory.decisions.length,
        memory.erased.length,
        memory.ties.length,
      ]),
    position: async () => memory.position,
    greatestVersion: async () => [...memory.identity.values()].reduce((max, { version }) => Math.max(max, version), 0),
    async ends(before) {
      const ends = { atoms: new Map<number, number>(), edges: new Map<number, number>() };
      for (const { atom } of memory.atoms) ends.atoms.set(atom % 64, Math.max(atom, ends.atoms.get(atom % 64) ?? 0));
      for (const { partition, offset } of memory.edges)
        ends.edges.set(partition, Math.max(offset, ends.edges.get(partition) ?? 0));
      const count = (some: readonly MemoryEdge[]): Map<string, number> => {
        const counts = new Map<string, number>();
        for (const { site } of some) counts.set(site, (counts.get(site) ?? 0) + 1);
        for (const { site } of memory.ties) counts.set(site, (counts.get(site) ?? 0) - 1);
        return counts;
      };
      const heldBefore = count(memory.edges.filter((one) => edgeIsWithin(before, one)));
      return { ends, held: count(memory.edges), heldBefore };
    },
    decisions: async () => [...memory.decisions],
    countDecisions: async () => memory.decisions.length,
    async countErasures() {
      const counts = new Map<string, number>();
      for (const { site } of memory.erased) counts.set(site, (counts.get(site) ?? 0) + 1);
      return counts;
    },
    freshAtoms: async ({ since, upTo, after, limit }) =>
      handOut(
        memory.atoms
          .filter((one) => one.atom > after && !atomIsWithin(since, one) && atomIsWithin(upTo, one) && isThere(one))
          .toSorted((a, b) => a.atom - b.atom)
          .slice(0, limit),
      ),
    async freshEdges({ since, upTo, after, limit }) {
      const found = memory.edges
        .filter((one) => byPlace(one, { ...one, ...after }) > 0 && !edgeIsWithin(since, one))
        .filter((one) => edgeIsWithin(upTo, one) && isThere(one))
        .toSorted(byPlace);
      const last = found[limit - 1];
      return handOut(last === undefined ? found : found.filter((one) => byPlace(one, last) <= 0));
    },
    async overriddenAtoms({ after, limit, sinceVersion, beforeVersion }) {
      const isWanted = ({ atom }: SiteAtom): boolean => {
        const row = memory.identity.get(atom);
        if (row === undefined || atom <= after || row.person === 0) return false;
        return row.version > sinceVersion && row.version < beforeVersion && (row.person !== atom || sinceVersion > 0);
      };
      const found = memory.atoms.filter((one) => isWanted(one) && isThere(one));
      return handOut(found.toSorted((a, b) => a.atom - b.atom).slice(0, limit));
    },
    sites: async () => [...new Set(memory.atoms.map(({ site }) => site))],
    async *allTied(site, by, { blocked, upTo }) {
      const reader = createNodeReader({ blocked });
      const atoms = memory.atoms.filter((one) => one.site === site && atomIsWithin(upTo, one) && isThere(one));
      const edges = memory.edges.filter((one) => one.site === site && edgeIsWithin(upTo, one) && isThere(one));
      const groups = new Map<string, Set<number>>();
      const tie = (key: string | undefined, atom: number): void => {
        if (key !== undefined) groups.set(key, (groups.get(key) ?? new Set()).add(atom));
      };
      if (by === "user") for (const { atom, userId } of atoms) tie(reader.user(userId), atom);
      if (by === "device") for (const { atom, anonymousId } of atoms) tie(reader.device(anonymousId), atom);
      for (const { kind, atom, other } of edges) {
        if (by === "login" && (kind === "login" || kind === "import")) tie(String(atom), atom);
        if (by === "contact" && (kind === "email" || kind === "phone") && !reader.isBlockedContact(kind, other))
          tie(`${kind}:${other}`, atom);
        if (by !== "alias" || kind !== "alias") continue;
        const named = atoms.filter(({ anonymousId, userId }) => anonymousId === other || userId === other);
        for (const one of [atom, ...named.map((each) => each.atom)]) tie(`${atom} ${other}`, one);
      }
      yield handOut([...groups.values()].map((some) => [...some]));
    },
    async *allAtoms(site, upTo, isWanted) {
      for (const one of memory.atoms)
        if (one.site === site && atomIsWithin(upTo, one) && isThere(one) && isWanted(one.atom)) yield handOut([one]);
    },
    async *allEdges(site, upTo, isWanted) {
      yield handOut(
        memory.edges.filter(
          (one) => one.site === site && edgeIsWithin(upTo, one) && isThere(one) && isWanted(one.atom),
        ),
      );
    },
    async atomsNaming(site, { users, devices }, upTo) {
      const isNamed = ({ anonymousId, userId }: SiteAtom) => users.includes(userId) || devices.includes(anonymousId);
      const there = memory.atoms.filter((one) => one.site === site && atomIsWithin(upTo, one) && isThere(one));
      return handOut(there.filter(isNamed));
    },
    async namedAtoms(site, atoms, upTo) {
      const there = memory.atoms.filter((one) => one.site === site && atomIsWithin(upTo, one) && isThere(one));
      return there
        .filter(({ atom, anonymousId, userId }) => atoms.includes(atom) && (anonymousId !== "" || userId !== ""))
        .map(({ atom }) => atom);
    },
    tiesOf: async (site, atoms) =>
      memory.ties
        .filter((tie) => tie.site === site)
        .filter(({ atom, other }) => atoms === undefined || atoms.includes(atom) || atoms.includes(other)),
    async *allPersons(site) {
      for (const [atom, row] of memory.identity) if (row.site === site) yield [{ atom, person: row.person }];
    },
    async atomsOf(site, { users, devices, blocked, limit }, { upTo, before }) {
      const isNoUser = (id: string): boolean =>
        id === "" || isBlockedId(id) || blocked.includes(id.trim().toLowerCase());
      const there = memory.atoms.filter((one) => one.site === site && atomIsWithin(upTo, one) && isThere(one));
      const withKnown = there.map((one) => ({
        ...one,
        isKnown: before === undefined || atomIsWithin(before, one),
      }));
      const ofUsers = users.flatMap((user) =>
        withKnown
          .filter(({ userId }) => userId === user)
          .toSorted((a, b) => Number(b.isKnown) - Number(a.isKnown) || a.atom - b.atom)
          .slice(0, limit),
      );
      const ofDevices = withKnown.filter(
        ({ anonymousId, userId }) => devices.includes(anonymousId) && isNoUser(userId),
      );
      return handOut([...ofUsers, ...ofDevices]);
    },
    async edgesOf(site, { users, devices, contacts }, { upTo, before }) {
      const isWanted = ({ kind, anonymousId, userId, other }: MemoryEdge): boolean =>
        users.includes(userId) ||
        (devices.includes(anonymousId) && kind !== "alias") ||
        (kind === "alias" && (users.includes(other) || devices.includes(other))) ||
        contacts.includes(`${kind}:${other}`);
      const rows = new Map<string, StoredEdge>();
      for (const one of memory.edges) {
        if (one.site !== site || !edgeIsWithin(upTo, one) || !isThere(one) || !isWanted(one)) continue;
        const { kind, anonymousId, userId, other, rule, time } = one;
        const key = JSON.stringify([kind, anonymousId, userId, other, rule]);
        const was = rows.get(key) ?? { kind, anonymousId, userId, other, rule, time };
        const isKnown = before === undefined || edgeIsWithin(before, one);
        const timeBefore = isKnown ? Math.min(time, was.timeBefore ?? Infinity) : was.timeBefore;
        rows.set(key, { ...was, time: Math.min(time, was.time), ...(timeBefore !== undefined && { timeBefore }) });
      }
      return handOut([...rows.values()]);
    },
    sourcesOf: async () => [],
    idsOf: async (site, atom) => memory.atoms.find((one) => one.site === site && one.atom === atom),
    async plainUsers(site, users, maxDevices, { upTo }) {
      const there = memory.edges.filter((one) => one.site === site && edgeIsWithin(upTo, one) && isThere(one));
      return users.filter((user) => {
        if (there.some(({ kind, userId, other }) => kind === "alias" && (userId === user || other === user)))
          return false;
        const ofUser = there.filter(({ kind, userId }) => userId === user && (kind === "login" || kind === "import"));
        return ofUser.length > 0 && new Set(ofUser.map(({ anonymousId }) => anonymousId)).size <= maxDevices;
      });
    },
    async personsOf(atoms) {
      return new Map(
        atoms.flatMap((atom): [number, number][] => {
          const row = memory.identity.get(atom);
          return row === undefined ? [] : [[atom, row.person]];
        }),
      );
    },
    async writePersons(rows, version) {
      for (const { atom, ...row } of rows) writePerson(atom, { ...row, version });
    },
    async hideErased(version) {
      const open = memory.erased.filter(({ atom }) => memory.identity.get(atom)?.person !== 0);
      for (const { atom, site } of open) writePerson(atom, { site, person: 0, version });
      return open.length;
    },
    publishPersons: async () => {},
    quarantined: async () => [...memory.quarantine.values()],
    async writeQuarantined(rows) {
      for (const { isReleased, ...row } of rows) {
        const key = `${row.site} ${row.atom}`;
        if (isReleased) memory.quarantine.delete(key);
        else memory.quarantine.set(key, row);
      }
    },
    async writePosition(position) {
      memory.position = position;
    },
  };
}
