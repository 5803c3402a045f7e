import { decidedEdges, edgeKeyText, type EdgeKey, type IdentityDecision } from "./identity-decision.ts";
import {
  contactKinds,
  createBlockedCheck,
  type ContactKind,
  type IdentityLimit,
  type IdentityRules,
} from "./identity-rules.ts";
import { createUnionFind, type UnionFind } from "./union-find.ts";

/** An identity: ids that events came with. At least one of the two, or it is nobody and stays out. */
export interface IdentityAtom {
  atom: number;
  anonymousId: string;
  userId: string;
}

/** Something that an event says about who is one person. */
export interface IdentityEdge {
  kind: "login" | "import" | "alias" | ContactKind;
  /** Ids of the event. */
  anonymousId: string;
  userId: string;
  /** login, import: the user id; alias: the previous id; email, phone: the hash. */
  other: string;
  /** email, phone: who says so, `server`, `login` or `form`; others: their kind. */
  rule: string;
  /** When it was said first: milliseconds since 1970. */
  time: number;
}

/** What became of an edge. `followed` alone joins. */
export type EdgeOutcome =
  | "followed"
  | "revoked"
  | "blocked"
  | "over_limit"
  | "unconfirmed"
  | "shared_device"
  | "other_account"
  | "conflict"
  | "not_a_rule"
  | "nothing_to_join";

/** An edge between two nodes (`user:U`, `device:A`), or between a node and a contact (`email:hash`, `phone:hash`). */
export interface ResolvedEdge<E extends IdentityEdge = IdentityEdge> {
  kind: IdentityEdge["kind"] | "manual";
  key: EdgeKey;
  left: string;
  right: string;
  outcome: EdgeOutcome;
  /** The event's edge; undefined for a manual one. */
  edge?: E;
  /** Of a manual or a revoked edge. */
  decision?: IdentityDecision;
}

export interface Resolution<E extends IdentityEdge = IdentityEdge> {
  /** By atom, the smallest atom of the person. */
  persons: ReadonlyMap<number, number>;
  edges: readonly ResolvedEdge<E>[];
  /** By node, the smallest atom of the person, as if none were quarantined. A person without an identity is not there. */
  nodes: ReadonlyMap<string, number>;
  /** Too many identities in one person: each stands alone. By the smallest of them. */
  quarantined: readonly { atom: number; atoms: number }[];
}

export interface ResolveOptions<E extends IdentityEdge = IdentityEdge> {
  /** Of one site, as all the others. */
  atoms: readonly IdentityAtom[];
  edges: readonly E[];
  decisions: readonly IdentityDecision[];
  rules: IdentityRules;
}

const dayMs = 24 * 3_600_000;

export const userNode = (id: string): string => `user:${id}`;
export const deviceNode = (id: string): string => `device:${id}`;
const isUser = (node: string): boolean => node.startsWith("user:");

/**
 * Who is one person. Depends on the set of what is given and on nothing else: neither on the order, nor on how often something is there, nor on
 * what came out before.
 */
export function resolvePeople<E extends IdentityEdge>({
  atoms,
  edges,
  decisions,
  rules,
}: ResolveOptions<E>): Resolution<E> {
  const nodes = createNodeReader(rules);
  const read = readEdges({ atoms, edges, decisions, rules });
  const strong = createUnionFind();
  for (const { edge, left, right, isStrong } of read)
    if (isStrong && edge.outcome === "followed") strong.join(left, right);

  const components = readComponents({ atoms, read, strong, nodes });
  const people = createUnionFind();
  const shared = joinDevices({ read, strong, components: components.byRoot, people });
  const contacts = read.filter(({ isContact }) => isContact);
  for (const kind of rules.priority)
    joinByContact({ kind, contacts, strong, components: components.byRoot, people, shared, rules });

  const byPerson = new Map<string, number[]>();
  const persons = new Map<number, number>();
  for (const { atom, anonymousId, userId } of atoms) {
    const node = nodes.ofAtom(anonymousId, userId);
    if (node === undefined) {
      persons.set(atom, atom);
      continue;
    }
    const person = people.find(strong.find(node));
    const ofPerson = byPerson.get(person);
    if (ofPerson === undefined) byPerson.set(person, [atom]);
    else ofPerson.push(atom);
  }
  const quarantined: { atom: number; atoms: number }[] = [];
  const smallestOf = new Map<string, number>();
  for (const [person, some] of byPerson) {
    const different = new Set(some);
    let smallest = Infinity;
    for (const atom of different) smallest = Math.min(smallest, atom);
    smallestOf.set(person, smallest);
    const isTooLarge = different.size > rules.maxAtoms;
    if (isTooLarge) quarantined.push({ atom: smallest, atoms: different.size });
    for (const atom of different) persons.set(atom, isTooLarge ? atom : smallest);
  }
  const ofNodes = new Map<string, number>();
  for (const node of components.nodes) {
    const smallest = smallestOf.get(people.find(strong.find(node)));
    if (smallest !== undefined) ofNodes.set(node, smallest);
  }
  return { persons, nodes: ofNodes, edges: read.map(({ edge }) => edge), quarantined };
}

/**
 * Who says so, by the rules of the site: a user id that stands for nobody there is no login, or whoever types somebody's address on a page that sends
 * one would become them.
 */
export function ruleOfEdge({ kind, left, edge }: Pick<ResolvedEdge, "kind" | "left" | "edge">): string {
  if (edge === undefined) return kind;
  const isContact = kind === "email" || kind === "phone";
  return isContact && edge.rule === "login" && !isUser(left) ? "form" : edge.rule;
}

export interface NodeReader {
  /** The node of a user id or a device; undefined where the value stands for nobody. */
  user(id: string): string | undefined;
  device(id: string): string | undefined;
  /** To whom an identity belongs before anything joins it; undefined: to itself alone. */
  ofAtom(anonymousId: string, userId: string): string | undefined;
  isBlockedContact(kind: ContactKind, hash: string): boolean;
  /** Whether a node that was written down, as in a decision, is one by these rules. */
  isNode(node: string): boolean;
}

export function createNodeReader(rules: Pick<IdentityRules, "blocked">): NodeReader {
  const { isBlockedId, isBlockedHash } = createBlockedCheck(rules);
  const user = (id: string): string | undefined => (id === "" || isBlockedId(id) ? undefined : userNode(id));
  const device = (id: string): string | undefined => (id === "" || isBlockedId(id) ? undefined : deviceNode(id));
  return {
    user,
    device,
    ofAtom: (anonymousId, userId) => user(userId) ?? device(anonymousId),
    isBlockedContact: isBlockedHash,
    isNode: (node) => !isBlockedId(node.slice(node.indexOf(":") + 1)),
  };
}

/** The key by which a decision names the edge of an event; undefined where one of its ends stands for nobody. */
export function keysOfEdge(
  { kind, anonymousId, userId, other }: Omit<IdentityEdge, "time" | "rule">,
  nodes: NodeReader,
): EdgeKey | undefined {
  const user = nodes.user(userId);
  if (kind === "email" || kind === "phone") {
    const node = user ?? nodes.device(anonymousId);
    return node === undefined ? undefined : { kind, node, other };
  }
  if (user === undefined) return undefined;
  if (kind === "alias") return { kind, node: user, other };
  const device = nodes.device(anonymousId);
  return device === undefined ? undefined : { kind: "login", node: device, other: user };
}

/** More than `max` different counterparts within one closed span of the limit: `firstTimes` has one entry for each of them. */
export function isOverLimit(firstTimes: Iterable<number>, { max, withinDays }: IdentityLimit): boolean {
  const times = Float64Array.from(firstTimes).sort();
  for (let at = max; at < times.length; at++) if (times[at]! - times[at - max]! <= withinDays * dayMs) return true;
  return false;
}

/** Counterparts with the time at which each was first said. */
export type FirstTimes = Map<string, number>;

export function addFirst(times: FirstTimes, counterpart: string, time: number): void {
  times.set(counterpart, Math.min(time, times.get(counterpart) ?? Infinity));
}

interface ReadEdge<E extends IdentityEdge> {
  edge: ResolvedEdge<E>;
  left: string;
  right: string;
  isStrong: boolean;
  /** Device on the left, user on the right. */
  isLogin: boolean;
  /** Node on the left, contact on the right. */
  isContact: boolean;
  /** Of a contact: more than a proposal. */
  isConfirmed: boolean;
}

/** Every edge with its ends, and what can be said of it by itself: revoked, blocked, over a limit, unconfirmed. */
function readEdges<E extends IdentityEdge>({ atoms, edges, decisions, rules }: ResolveOptions<E>): ReadEdge<E>[] {
  const nodes = createNodeReader(rules);
  const { revoked, manual } = decidedEdges(decisions);
  const knownUsers = new Set<string>();
  const knownDevices = new Set<string>();
  const know = ({ anonymousId, userId }: { anonymousId: string; userId: string }): void => {
    if (userId !== "") knownUsers.add(userId);
    if (anonymousId !== "") knownDevices.add(anonymousId);
  };
  for (const atom of atoms) know(atom);
  for (const edge of edges) if (edge.kind === "login" || edge.kind === "import") know(edge);

  const read: ReadEdge<E>[] = [];
  const add = (
    edge: E,
    key: EdgeKey,
    ends: { left: string; right: string; as: "strong" | "login" | "contact"; outcome?: EdgeOutcome },
  ): void => {
    const { left, right, as } = ends;
    const decision = revoked.get(edgeKeyText(key));
    read.push({
      edge: {
        kind: edge.kind,
        key,
        left,
        right,
        edge,
        outcome: decision !== undefined ? "revoked" : (ends.outcome ?? "followed"),
        ...(decision !== undefined && { decision }),
      },
      left,
      right,
      isStrong: as === "strong",
      isLogin: as === "login",
      isContact: as === "contact",
      isConfirmed: false,
    });
  };
  const skip = (edge: E, outcome: EdgeOutcome): void => {
    const { kind, anonymousId, userId, other } = edge;
    const left = userId === "" || kind === "login" || kind === "import" ? deviceNode(anonymousId) : userNode(userId);
    const isContact = kind === "email" || kind === "phone";
    const right = isContact ? `${kind}:${other}` : userNode(other);
    const key = isContact
      ? { kind, node: left, other }
      : { kind: kind === "alias" ? kind : ("login" as const), node: left, other: right };
    read.push({
      edge: { kind, key, left, right, edge, outcome },
      left,
      right,
      isStrong: false,
      isLogin: false,
      isContact: false,
      isConfirmed: false,
    });
  };
  for (const edge of edges) {
    const key = keysOfEdge(edge, nodes);
    if (key === undefined) {
      skip(edge, "blocked");
      continue;
    }
    if (edge.kind === "email" || edge.kind === "phone") {
      const right = `${edge.kind}:${edge.other}`;
      const isBlocked = nodes.isBlockedContact(edge.kind, edge.other);
      add(edge, key, { left: key.node, right, as: "contact", ...(isBlocked && { outcome: "blocked" }) });
      continue;
    }
    if (edge.kind !== "alias") {
      add(edge, key, { left: key.node, right: key.other, as: "login" });
      continue;
    }
    const previousUser = knownUsers.has(edge.other) ? nodes.user(edge.other) : undefined;
    const previousDevice = knownDevices.has(edge.other) ? nodes.device(edge.other) : undefined;
    if (previousUser !== undefined && previousUser !== key.node) {
      const outcome = rules.aliasJoinsUsers ? undefined : "not_a_rule";
      add(edge, key, { left: key.node, right: previousUser, as: "strong", ...(outcome && { outcome }) });
    }
    if (previousDevice !== undefined) add(edge, key, { left: previousDevice, right: key.node, as: "login" });
    if ((previousUser === undefined || previousUser === key.node) && previousDevice === undefined) {
      const isBlocked = nodes.user(edge.other) === undefined;
      skip(edge, revoked.has(edgeKeyText(key)) ? "revoked" : isBlocked ? "blocked" : "nothing_to_join");
    }
  }
  for (const { key, decision } of manual.values()) {
    const isTie = nodes.isNode(key.node) && nodes.isNode(key.other);
    const outcome = isTie ? "followed" : "blocked";
    read.push({
      edge: { kind: "manual", key, left: key.node, right: key.other, outcome, decision },
      left: key.node,
      right: key.other,
      isStrong: isTie,
      isLogin: false,
      isContact: false,
      isConfirmed: false,
    });
  }
  judgeByLimits(read, rules);
  judgeByConfirmation(read, rules);
  return read;
}

/** An edge that may still be followed. */
const isOpen = ({ edge }: ReadEdge<IdentityEdge>): boolean => edge.outcome === "followed";

function judgeByLimits(read: readonly ReadEdge<IdentityEdge>[], rules: IdentityRules): void {
  const counterparts = new Map<string, FirstTimes>();
  const hubOf = ({ left, right, isLogin, isContact }: ReadEdge<IdentityEdge>) =>
    isLogin ? { hub: right, counterpart: left } : isContact ? { hub: right, counterpart: left } : undefined;
  for (const one of read) {
    const ends = isOpen(one) ? hubOf(one) : undefined;
    if (ends === undefined) continue;
    const times = counterparts.get(ends.hub) ?? new Map<string, number>();
    counterparts.set(ends.hub, times);
    addFirst(times, ends.counterpart, one.edge.edge!.time);
  }
  const isOver = new Set<string>();
  for (const [hub, times] of counterparts) {
    const kind = isUser(hub) ? "user_id" : contactKinds.find((name) => hub.startsWith(`${name}:`))!;
    if (isOverLimit(times.values(), rules.limits[kind])) isOver.add(hub);
  }
  for (const one of read) {
    const ends = isOpen(one) ? hubOf(one) : undefined;
    if (ends !== undefined && isOver.has(ends.hub)) one.edge.outcome = "over_limit";
  }
}

/** Whether an edge to a contact is more than a proposal: a browser in which a login or a server said the same says it well enough. */
function judgeByConfirmation(read: readonly ReadEdge<IdentityEdge>[], { trustsForms }: IdentityRules): void {
  const isThere = ({ edge, isContact }: ReadEdge<IdentityEdge>): boolean =>
    isContact && edge.outcome !== "revoked" && edge.outcome !== "blocked";
  const inBrowser = ({ edge, right }: ReadEdge<IdentityEdge>): string =>
    JSON.stringify([right, edge.edge!.anonymousId]);
  const isForm = ({ edge }: ReadEdge<IdentityEdge>): boolean => ruleOfEdge(edge) === "form";
  const confirmed = new Set(read.filter((one) => isThere(one) && !isForm(one)).map((one) => inBrowser(one)));
  for (const one of read) {
    if (!isThere(one)) continue;
    const { anonymousId } = one.edge.edge!;
    one.isConfirmed = !isForm(one) || trustsForms || (anonymousId !== "" && confirmed.has(inBrowser(one)));
    if (!one.isConfirmed && isOpen(one)) one.edge.outcome = "unconfirmed";
  }
}

interface Component {
  hasUser: boolean;
}

function readComponents({
  atoms,
  read,
  strong,
  nodes,
}: {
  atoms: readonly IdentityAtom[];
  read: readonly ReadEdge<IdentityEdge>[];
  strong: UnionFind;
  nodes: NodeReader;
}): { byRoot: ReadonlyMap<string, Component>; nodes: ReadonlySet<string> } {
  const components = new Map<string, Component>();
  const seen = new Set<string>();
  const see = (node: string | undefined): void => {
    if (node === undefined) return;
    seen.add(node);
    const root = strong.find(node);
    const component = components.get(root) ?? { hasUser: false };
    component.hasUser ||= isUser(node);
    components.set(root, component);
  };
  for (const { anonymousId, userId } of atoms) see(nodes.ofAtom(anonymousId, userId));
  for (const { left, right, isContact } of read) {
    see(left);
    if (!isContact) see(right);
  }
  return { byRoot: components, nodes: seen };
}

/** A device belongs to the one account that logs in on it, and to nobody where there are two. Returns the components of shared devices. */
function joinDevices({
  read,
  strong,
  components,
  people,
}: {
  read: readonly ReadEdge<IdentityEdge>[];
  strong: UnionFind;
  components: ReadonlyMap<string, Component>;
  people: UnionFind;
}): ReadonlySet<string> {
  const logins = read.filter((one) => one.isLogin && isOpen(one));
  const claims = new Map<string, Set<string>>();
  for (const { left, right } of logins) {
    const device = strong.find(left);
    if (components.get(device)!.hasUser) continue;
    const accounts = claims.get(device) ?? new Set();
    claims.set(device, accounts.add(strong.find(right)));
  }
  const shared = new Set<string>();
  for (const [device, accounts] of claims) {
    if (accounts.size > 1) shared.add(device);
    else for (const account of accounts) people.join(device, account);
  }
  for (const { edge, left, right } of logins) {
    const device = strong.find(left);
    if (shared.has(device)) edge.outcome = "shared_device";
    else if (components.get(device)!.hasUser && device !== strong.find(right)) edge.outcome = "other_account";
  }
  return shared;
}

/** Joins what states the same contact, where that makes no two known people one. */
function joinByContact({
  kind,
  contacts,
  strong,
  components,
  people,
  shared,
  rules,
}: {
  kind: ContactKind;
  contacts: readonly ReadEdge<IdentityEdge>[];
  strong: UnionFind;
  components: ReadonlyMap<string, Component>;
  people: UnionFind;
  shared: ReadonlySet<string>;
  rules: IdentityRules;
}): void {
  const ofKind = contacts.filter((one) => one.edge.kind === kind && isOpen(one));
  const followed: ReadEdge<IdentityEdge>[] = [];
  const sets = createUnionFind();
  for (const one of ofKind) {
    const component = strong.find(one.left);
    if (shared.has(component)) one.edge.outcome = "shared_device";
    else {
      followed.push(one);
      sets.join(`person ${people.find(component)}`, one.right);
    }
  }
  const others = rules.unique.filter((other) => other !== kind);
  /** By set: its people, those of them that are known, and the values of the other kinds. */
  const facts = new Map<string, { people: Set<string>; known: Set<string>; values: Map<ContactKind, Set<string>> }>();
  for (const { left } of followed) {
    const person = people.find(strong.find(left));
    const set = sets.find(`person ${person}`);
    const fact = facts.get(set) ?? { people: new Set(), known: new Set(), values: new Map() };
    facts.set(set, fact);
    fact.people.add(person);
  }
  // All of a person counts, also what does not state this contact: the account of a device that does.
  const setOf = new Map<string, string>();
  for (const [set, { people: some }] of facts) for (const person of some) setOf.set(person, set);
  for (const [component, { hasUser }] of components) {
    const person = people.find(component);
    const set = setOf.get(person);
    if (hasUser && set !== undefined) facts.get(set)!.known.add(person);
  }
  if (others.length > 0)
    for (const { edge, left, right, isConfirmed } of contacts) {
      const set = setOf.get(people.find(strong.find(left)));
      const of = others.find((other) => other === edge.kind);
      if (set === undefined || of === undefined || !isConfirmed || shared.has(strong.find(left))) continue;
      const { values } = facts.get(set)!;
      values.set(of, (values.get(of) ?? new Set()).add(right));
    }
  const conflicts = new Set<string>();
  for (const [set, { people: some, known, values }] of facts)
    if (some.size > 1 && (known.size > 1 || [...values.values()].some((different) => different.size > 1)))
      conflicts.add(set);
  for (const { edge, left } of followed)
    if (conflicts.has(setOf.get(people.find(strong.find(left)))!)) edge.outcome = "conflict";
  for (const [set, { people: some }] of facts) {
    const [first] = some;
    if (!conflicts.has(set)) for (const person of some) people.join(first!, person);
  }
}
