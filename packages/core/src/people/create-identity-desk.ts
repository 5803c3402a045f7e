import type { DecisionStore, EdgeSource, ErasedNode, IdentityStore, IdentityView } from "../ports/identity-store.ts";
import { fetchNeighbourhood } from "./fetch-neighbourhood.ts";
import {
  byMoment,
  decidedEdges,
  decisionsInForce,
  edgeKeyText,
  manualKey,
  type DecisionAction,
  type EdgeKey,
  type IdentityDecision,
} from "./identity-decision.ts";
import { defaultIdentityRules, type IdentityRules } from "./identity-rules.ts";
import {
  createNodeReader,
  deviceNode,
  resolvePeople,
  userNode,
  type IdentityAtom,
  type ResolvedEdge,
  type Resolution,
} from "./resolve-people.ts";
import type { StoredEdge } from "../ports/identity-store.ts";

export interface IdentityDeskOptions {
  identities: Pick<IdentityStore, "ends" | "atomsOf" | "edgesOf" | "sourcesOf" | "plainUsers" | "idsOf">;
  decisions: DecisionStore;
  /** By site; the built-in ones for others. */
  rules: () => ReadonlyMap<string, IdentityRules>;
  now: () => number;
  newId: () => string;
}

/** Who decides, and why. Both are kept for ever. */
export interface Signed {
  actor: string;
  reason: string;
}

export type ExplainedEdge = ResolvedEdge & Partial<EdgeSource>;

export interface Explanation {
  /** The smallest identity of the person. */
  person: number;
  isQuarantined: boolean;
  atoms: readonly IdentityAtom[];
  /** Everything that is said of these ids, whether it joins or not, and of the contacts that they state. */
  edges: readonly ExplainedEdge[];
  /** About these ids, oldest first. */
  decisions: readonly (IdentityDecision & { isInForce: boolean })[];
}

export type DeskFault =
  | "person_not_found"
  | "same_person"
  | "nothing_to_unmerge"
  | "decision_not_found"
  | "decision_undone";
export type Decided = { ok: true; decision: IdentityDecision } | { ok: false; fault: DeskFault };

/**
 * Two people by number. `named`: by which ids the left one was asked for, `user:U`, `device:A` or the number of an identity, the first that it has
 * counts: what is written down is about that one, and not about whoever it is one with by another decision.
 */
export interface Pair {
  left: number;
  right: number;
  named?: readonly string[];
}

/** What is to be taken out of a person: a number that was merged into it, or some of its ids. */
export type Apart = { person: number } | { users: readonly string[]; devices: readonly string[] };

export interface IdentityDesk {
  /** What holds the person of this identity together, as of now: the worker may be a moment behind. */
  why(site: string, atom: number): Promise<Explanation | undefined>;
  /** From now on the two are one person, whatever events say. */
  merge(site: string, pair: Pair, signed: Signed): Promise<Decided>;
  /** The two look alike and are not one person: nobody is asked again. Said again while it holds it is the same decision. */
  dismiss(site: string, pair: Pair, signed: Signed): Promise<Decided>;
  /**
   * Takes a part out of a person. Merges by hand between the part and the rest are taken back; only where that leaves them one person, the edges that
   * events stated between them no longer hold, now and when they are stated again.
   */
  unmerge(site: string, atom: number, apart: Apart, signed: Signed): Promise<Decided>;
  /** As if the decision had never been made. */
  undo(site: string, id: string, signed: Signed): Promise<Decided>;
  decisions(site: string): Promise<readonly (IdentityDecision & { isInForce: boolean })[]>;
  isSettled(id: string): Promise<boolean>;
}

interface Look {
  atoms: readonly IdentityAtom[];
  edges: readonly StoredEdge[];
  decisions: readonly IdentityDecision[];
  rules: IdentityRules;
  found: Resolution;
}

export function createIdentityDesk({
  identities,
  decisions: book,
  rules,
  now,
  newId,
}: IdentityDeskOptions): IdentityDesk {
  const everything = async (): Promise<IdentityView> => ({
    upTo: (await identities.ends(undefined)).ends,
    before: undefined,
  });

  /** The people of these identities and whatever they depend on. */
  async function look(site: string, atoms: readonly number[]): Promise<(Look & { nodes: string[] }) | undefined> {
    const ids = await Promise.all(atoms.map((atom) => identities.idsOf(site, atom)));
    const siteRules = rules().get(site) ?? defaultIdentityRules;
    const reader = createNodeReader(siteRules);
    const seeds = ids.map((one) => one && reader.ofAtom(one.anonymousId, one.userId));
    if (!seeds.every((node) => node !== undefined)) return undefined;
    const decisions = await book.decisionsOf(site);
    const around = await fetchNeighbourhood(
      { nodes: seeds, contacts: [] },
      { store: identities, site, rules: siteRules, decisions, view: await everything() },
    );
    const found = resolvePeople({ ...around, decisions, rules: siteRules });
    return { ...around, decisions, rules: siteRules, found, nodes: seeds };
  }

  async function decide(
    site: string,
    known: readonly IdentityDecision[],
    decision: Partial<IdentityDecision> & Signed & { action: DecisionAction },
  ): Promise<Decided> {
    const latest = known.reduce((last, { at }) => Math.max(last, at), 0);
    // After all others, whatever the clock of this machine says.
    const at = Math.max(now(), latest + 1);
    const whole = { id: newId(), site, at, left: "", right: "", edges: [], undoes: "", ...decision };
    await book.write(whole);
    return { ok: true, decision: whole };
  }

  async function decideOnPair(action: "merge" | "dismiss", site: string, pair: Pair, signed: Signed): Promise<Decided> {
    const seen = await look(site, [pair.left, pair.right]);
    if (seen === undefined) return { ok: false, fault: "person_not_found" };
    const [left, right] = seen.nodes.map((node) => seen.found.nodes.get(node));
    if (left === undefined || right === undefined) return { ok: false, fault: "person_not_found" };
    if (left === right) return { ok: false, fault: "same_person" };
    const nodeOf = createNamer(seen);
    const nodes = { left: nodeOf(seen.nodes[0]!, pair.named ?? []), right: nodeOf(seen.nodes[1]!, []) };
    // Somebody who says it again is answered with what holds: a second one would hold when the first is undone.
    const already = decisionsInForce(seen.decisions).find(
      (one) => one.action === action && action === "dismiss" && pairText(one) === pairText(nodes),
    );
    if (already !== undefined) return { ok: true, decision: already };
    return decide(site, seen.decisions, { action, ...nodes, ...signed });
  }

  const withForce = (decisions: readonly IdentityDecision[]) => {
    const { manual, revoked } = decidedEdges(decisions);
    // Nobody took back a merge that was unmerged later: it holds no more all the same.
    const isHeld = ({ id, action, left, right, edges }: IdentityDecision): boolean => {
      if (action === "merge") return manual.get(edgeKeyText(manualKey(left, right)))?.decision.id === id;
      return action !== "unmerge" || edges.some((key) => revoked.get(edgeKeyText(key))?.id === id);
    };
    const inForce = new Set(
      decisionsInForce(decisions)
        .filter(isHeld)
        .map(({ id }) => id),
    );
    return decisions.toSorted(byMoment).map((decision) => ({ ...decision, isInForce: inForce.has(decision.id) }));
  };

  /** Without the ids of people who are to be erased, as it will be afterwards. `others`: nodes that are shown besides. */
  async function withoutErased(
    site: string,
    known: readonly (IdentityDecision & { isInForce: boolean })[],
    others: readonly string[] = [],
  ) {
    const named = known.flatMap(({ left, right, edges }) => [left, right, ...edges.flatMap(nodesOfKey)]);
    const nodes = [...new Set([...named, ...others])].filter((node) => node !== "");
    const erased = nodes.length === 0 ? new Map<string, ErasedNode>() : await book.erasedNodes(site, nodes);
    const isErased = (node: string, at: number): boolean => (erased.get(node)?.until ?? -Infinity) >= at;
    const shown = (node: string, at: number): string => (isErased(node, at) ? erased.get(node)!.name : node);
    return {
      shown,
      decisions: known.map((decision) => ({
        ...decision,
        left: shown(decision.left, decision.at),
        right: shown(decision.right, decision.at),
        edges: decision.edges.map((key) => shownKey(key, (node) => shown(node, decision.at))),
      })),
    };
  }

  return {
    async why(site, atom) {
      const seen = await look(site, [atom]);
      const person = seen?.found.nodes.get(seen.nodes[0]!);
      if (seen === undefined || person === undefined) return undefined;
      const { found, rules: siteRules } = seen;
      const reader = createNodeReader(siteRules);
      const isOwn = (node: string): boolean => found.nodes.get(node) === person;
      const contacts = new Set(
        found.edges.filter(({ key, left }) => isContact(key) && isOwn(left)).map(({ right }) => right),
      );
      const edges = found.edges.filter(({ left, right }) => isOwn(left) || isOwn(right) || contacts.has(right));
      const nodes = [...found.nodes].filter(([, of]) => of === person).map(([node]) => node);
      const sources = await identities.sourcesOf(
        site,
        { users: idsIn(nodes, "user:"), devices: idsIn(nodes, "device:"), contacts: [...contacts] },
        await everything(),
      );
      const sourceOf = new Map(sources.map((source) => [edgeText(source), source]));
      const about = withForce(seen.decisions).filter(
        ({ left, right, edges: some }) =>
          isOwn(left) || isOwn(right) || some.some(({ node, other }) => isOwn(node) || isOwn(other)),
      );
      const { shown, decisions } = await withoutErased(
        site,
        about,
        edges.flatMap(({ left, right }) => [left, right]),
      );
      return {
        person,
        isQuarantined: found.quarantined.some((one) => one.atom === person),
        atoms: seen.atoms.filter(({ anonymousId, userId }) => isOwn(reader.ofAtom(anonymousId, userId) ?? "")),
        edges: edges.map((resolved) => {
          const source = resolved.edge && sourceOf.get(edgeText(resolved.edge));
          const at = resolved.edge?.time ?? resolved.decision?.at ?? 0;
          return {
            ...resolved,
            left: shown(resolved.left, at),
            right: shown(resolved.right, at),
            ...(source && { messageId: source.messageId, receivedAt: source.receivedAt }),
          };
        }),
        decisions,
      };
    },

    merge: (site, pair, signed) => decideOnPair("merge", site, pair, signed),
    dismiss: (site, pair, signed) => decideOnPair("dismiss", site, pair, signed),

    async unmerge(site, atom, apart, signed) {
      const other = "person" in apart ? [apart.person] : [];
      const seen = await look(site, [atom, ...other]);
      const person = seen?.found.nodes.get(seen.nodes[0]!);
      if (seen === undefined || person === undefined) return { ok: false, fault: "person_not_found" };
      const edges = edgesToRevoke(seen, person, partOf(seen, person, apart));
      if (edges.length === 0) return { ok: false, fault: "nothing_to_unmerge" };
      return decide(site, seen.decisions, { action: "unmerge", edges, ...signed });
    },

    async undo(site, id, signed) {
      const decisions = await book.decisionsOf(site);
      if (!decisions.some((decision) => decision.id === id)) return { ok: false, fault: "decision_not_found" };
      if (!decisionsInForce(decisions).some((decision) => decision.id === id))
        return { ok: false, fault: "decision_undone" };
      return decide(site, decisions, { action: "undo", undoes: id, ...signed });
    },

    decisions: async (site) => (await withoutErased(site, withForce(await book.decisionsOf(site)))).decisions,
    isSettled: (id) => book.isSettled(id),
  };
}

/**
 * By which a person is named in a decision: a user id where there is one, since a device may come to belong to somebody else. Of what is one without
 * other decisions: when those are taken back, this one is about the same people as if they had never been made.
 */
function createNamer(seen: Look): (node: string, named: readonly string[]) => string {
  const { atoms, found, rules } = seen;
  const reader = createNodeReader(rules);
  const stated = resolveWithout(seen, manualEdges(seen));
  const known = atoms
    .toSorted((a, b) => a.atom - b.atom)
    .map(({ atom, anonymousId, userId }) => ({ atom, node: reader.ofAtom(anonymousId, userId) ?? "" }));
  return (node, named) => {
    const nodes = named.map((name) => known.find(({ atom }) => String(atom) === name)?.node ?? name);
    const isOfPerson = (one: string): boolean =>
      found.nodes.get(one) === found.nodes.get(node) && stated.nodes.has(one);
    const who = stated.nodes.get(nodes.find(isOfPerson) ?? node);
    const own = known.filter((one) => stated.nodes.get(one.node) === who);
    return (own.find((one) => one.node.startsWith("user:")) ?? own[0]!).node;
  };
}

/** The nodes that are to be apart from the rest of the person. */
function partOf(seen: Look & { nodes: string[] }, person: number, apart: Apart): ReadonlySet<string> {
  const own = new Set([...seen.found.nodes].filter(([, of]) => of === person).map(([node]) => node));
  if (!("person" in apart)) {
    const named = [...apart.users.map(userNode), ...apart.devices.map(deviceNode)];
    return new Set(named.filter((node) => own.has(node)));
  }
  // Who it was before anybody merged it into this one.
  const without = resolveWithout(
    seen,
    manualEdges(seen).filter(({ node, other }) => own.has(node) && own.has(other)),
  );
  const was = without.nodes.get(seen.nodes[1]!);
  return new Set([...own].filter((node) => without.nodes.get(node) === was));
}

const manualEdges = ({ decisions }: Look): EdgeKey[] =>
  [...decidedEdges(decisions).manual.values()].map(({ key }) => key);

/** As it would be if these edges were not there. */
function resolveWithout({ atoms, edges, decisions, rules }: Look, keys: readonly EdgeKey[]): Resolution {
  const after = decisions.reduce((last, { at }) => Math.max(last, at), 0) + 1;
  const nothing = { left: "", right: "", actor: "", reason: "", undoes: "", site: "" };
  const unmerge: IdentityDecision = { ...nothing, id: "", at: after, action: "unmerge", edges: keys };
  return resolvePeople({ atoms, edges, decisions: [...decisions, unmerge], rules });
}

/** The edges without which no identity of the part is one person with one of the rest: as few sorts of them as will do. */
function edgesToRevoke(seen: Look, person: number, part: ReadonlySet<string>): EdgeKey[] {
  const own = new Set([...seen.found.nodes].filter(([, of]) => of === person).map(([node]) => node));
  const reader = createNodeReader(seen.rules);
  const withAtoms = new Set(seen.atoms.map(({ anonymousId, userId }) => reader.ofAtom(anonymousId, userId)));
  // A device without an identity of its own, as all was done under a user id there, is nobody to take apart.
  const rest = [...own].filter((node) => !part.has(node) && withAtoms.has(node));
  const taken = [...part].filter((node) => withAtoms.has(node));
  if (taken.length === 0 || rest.length === 0) return [];
  const isApart = (keys: readonly EdgeKey[]): boolean => {
    const found = resolveWithout(seen, keys);
    const ofPart = new Set(taken.map((node) => found.nodes.get(node)));
    return !rest.some((node) => ofPart.has(found.nodes.get(node)));
  };
  const merges = manualEdges(seen).filter(({ node, other }) => part.has(node) !== part.has(other));
  if (isApart(merges)) return merges;
  // Between the two alone; and where others tie them, as a contact that three state, all that leaves the part.
  for (const isLookedAt of [(node: string) => own.has(node), () => true]) {
    const there = seen.found.edges.filter(({ outcome, kind }) => outcome !== "revoked" && kind !== "manual");
    const ofRest = new Set(
      there.filter(({ key, left }) => isContact(key) && !part.has(left) && isLookedAt(left)).map(({ right }) => right),
    );
    const stated = there.filter(({ key, left, right }) =>
      isContact(key)
        ? part.has(left) && ofRest.has(right)
        : part.has(left) !== part.has(right) && isLookedAt(left) && isLookedAt(right),
    );
    const keys = new Map([...merges, ...stated.map(({ key }) => key)].map((key) => [edgeKeyText(key), key]));
    if (isApart([...keys.values()])) return [...keys.values()];
  }
  return [];
}

const pairText = ({ left, right }: { left: string; right: string }): string => edgeKeyText(manualKey(left, right));

/** Nodes that a key names; the previous id of an alias may be that of either. */
const nodesOfKey = ({ kind, node, other }: EdgeKey): string[] =>
  kind === "email" || kind === "phone"
    ? [node]
    : kind === "alias"
      ? [node, userNode(other), deviceNode(other)]
      : [node, other];

function shownKey({ kind, node, other }: EdgeKey, shown: (node: string) => string): EdgeKey {
  if (kind === "email" || kind === "phone") return { kind, node: shown(node), other };
  if (kind === "manual") return manualKey(shown(node), shown(other));
  if (kind === "login") return { kind, node: shown(node), other: shown(other) };
  const previous = [userNode(other), deviceNode(other)].find((one) => shown(one) !== one);
  return { kind, node: shown(node), other: previous === undefined ? other : shown(previous).slice("user:".length) };
}

const isContact = ({ kind }: EdgeKey): boolean => kind === "email" || kind === "phone";

const idsIn = (nodes: readonly string[], prefix: string): string[] =>
  nodes.filter((node) => node.startsWith(prefix)).map((node) => node.slice(prefix.length));

const edgeText = ({ kind, anonymousId, userId, other, rule }: Omit<StoredEdge, "time">): string =>
  JSON.stringify([kind, anonymousId, userId, other, rule]);
