import type { ContactKind, IdentityRules, Limit, PersonDecision, PersonEdge, PersonEvent } from "./person-event.ts";

/** An event with the identity that it came under: (anonymous id, user id), and which of them where an erasure lies between. */
export interface AtomEvent extends PersonEvent {
  atom: string;
}

/** That two nodes, or a node and a contact, belong together: `node` is tied to `hub`. */
interface Tie {
  node: string;
  hub: string;
  time: number;
}
interface ContactTie extends Tie {
  kind: ContactKind;
  rule: "server" | "login" | "form";
  device: string;
}

const dayMs = 86_400_000;
const nobody = "null undefined none nan anonymous guest unknown true false 0 -1"
  .split(" ")
  .concat("", "[object object]");

/** What the latest decision about each edge leaves of it. Decisions that were undone never were. */
function decidedEdges(decisions: readonly PersonDecision[]) {
  const undone = new Set<string>();
  for (const decision of decisions.toReversed())
    if (decision.action === "undo" && !undone.has(decision.id)) undone.add(decision.undoes);
  const manual = new Map<string, PersonEdge>();
  const revoked = new Set<string>();
  for (const decision of decisions) {
    if (undone.has(decision.id)) continue;
    if (decision.action === "unmerge") for (const edge of decision.edges) revoked.add(nameOf(edge));
    if (decision.action !== "merge") continue;
    const edge = manualEdge(decision.left, decision.right);
    revoked.delete(nameOf(edge));
    manual.set(nameOf(edge), edge);
  }
  return { revoked, manual: [...manual].filter(([name]) => !revoked.has(name)).map(([, edge]) => edge) };
}

export const manualEdge = (left: string, right: string): PersonEdge =>
  left < right ? { kind: "manual", node: left, other: right } : { kind: "manual", node: right, other: left };

const nameOf = ({ kind, node, other }: PersonEdge): string => JSON.stringify([kind, node, other]);

/** The nodes that an event's ids make, and the one that its atom belongs to. */
export function nodesOf(
  { userId, anonymousId }: Pick<PersonEvent, "anonymousId" | "userId">,
  blocked: readonly string[],
) {
  const user = isBlocked(userId, blocked) ? undefined : `user:${userId}`;
  const device = isBlocked(anonymousId, blocked) ? undefined : `device:${anonymousId}`;
  return { user, device, own: user ?? device };
}

/**
 * Who is one person, by the text of the rules and nothing else: union-find over all events and decisions at once, with no thought of speed.
 * @returns for every atom one atom of its person, the same for all of them
 */
export function resolvePeople(
  events: readonly AtomEvent[],
  decisions: readonly PersonDecision[],
  rules: IdentityRules,
): Map<string, string> {
  const { blocked, limits } = rules;
  const nodes = events.map((event) => nodesOf(event, blocked));
  const nodeOfAtom = new Map(events.map(({ atom }, i) => [atom, nodes[i]!.own ?? `alone:${atom}`]));
  const known = new Set(nodes.flatMap(({ user, device }) => [user, device]));
  const { revoked, manual } = decidedEdges(decisions);
  const holds = (kind: PersonEdge["kind"], node: string, other: string) => !revoked.has(nameOf({ kind, node, other }));

  // Every edge: logins (device to user), strong ones, and contacts.
  const logins: Tie[] = [];
  const isNode = (node: string) => !isBlocked(node.slice(node.indexOf(":") + 1), blocked);
  const strong = manual
    .filter(({ node, other }) => isNode(node) && isNode(other))
    .map(({ node, other }): readonly [string, string] => [node, other]);
  // Whoever merges a device with a user that was not seen yet says whose it is.
  const usersByHand = strong.flat().filter((node) => node.startsWith("user:"));
  const contacts: ContactTie[] = [];
  for (const [i, event] of events.entries()) {
    const { user, device, own } = nodes[i]!;
    const { time } = event;
    if (user && device && holds("login", device, user)) logins.push({ node: device, hub: user, time });
    const { previousId = "" } = event;
    if (event.type === "alias" && user && holds("alias", user, previousId)) {
      const previous = nodesOf({ userId: previousId, anonymousId: previousId }, blocked);
      if (previous.user && known.has(previous.user) && rules.aliasJoinsUsers) strong.push([previous.user, user]);
      if (previous.device && known.has(previous.device)) logins.push({ node: previous.device, hub: user, time });
    }
    if (own === undefined) continue;
    const rule = !["consent", "opt_out", "notice"].includes(event.basis) ? "server" : user ? "login" : "form";
    for (const [kind, value] of contactsOf(event, blocked))
      if (holds(kind, own, value))
        contacts.push({ kind, node: own, hub: value, time, rule, device: event.anonymousId });
  }
  const isConfirmed = ({ kind, hub, rule, device }: ContactTie) =>
    rule !== "form" ||
    rules.trustsForms ||
    contacts.some((by) => by.rule !== "form" && by.kind === kind && by.hub === hub && by.device === device);
  const confirmed = contacts.filter(isConfirmed);

  // S1: strong edges. An account is a component with a user in it.
  const { find, join } = createUnion();
  for (const [left, right] of strong) join(left, right);
  const users = [...known].filter((node) => node?.startsWith("user:")).concat(usersByHand);
  let accounts = new Set(users.map((node) => find(node!)));

  // S2: a component without a user goes to the one account that its devices logged in to; to none where there are two.
  const overUsers = overLimit(logins, limits.user_id);
  const claims = groupBy(
    logins.filter(({ node, hub }) => !overUsers.has(hub) && !accounts.has(find(node))),
    ({ node }) => find(node),
  );
  const shared = new Set<string>();
  for (const [component, ofComponent] of claims) {
    const claiming = [...new Set(ofComponent.map(({ hub }) => find(hub)))];
    if (claiming.length > 1) shared.add(component);
    else join(component, claiming[0]!);
  }

  // S3: contacts, one kind after the other. A set of components that two accounts are in, or two values that must be one, stays as it was.
  for (const kind of rules.priority) {
    const ofKind = contacts.filter((tie) => tie.kind === kind);
    const over = overLimit(ofKind, limits[kind]);
    const followed = confirmed.filter((tie) => tie.kind === kind && !over.has(tie.hub) && !shared.has(find(tie.node)));
    accounts = new Set([...accounts].map(find));
    const sets = createUnion();
    for (const { node, hub } of followed) sets.join(find(node), `hub:${hub}`);
    for (const ties of groupBy(followed, ({ hub }) => sets.find(`hub:${hub}`)).values()) {
      const components = new Set(ties.map(({ node }) => find(node)));
      const isOne = rules.unique
        .filter((other) => other !== kind)
        .every((other) => {
          const values = confirmed.filter((tie) => tie.kind === other && components.has(find(tie.node)));
          return new Set(values.map(({ hub }) => hub)).size <= 1;
        });
      if (!isOne || [...components].filter((component) => accounts.has(component)).length > 1) continue;
      const [first, ...others] = [...components];
      for (const other of others) join(other, first!);
    }
  }

  // S4 and S5: an atom speaks for its component, unless that is too large to be a person.
  const people = new Map<string, string>();
  for (const atoms of groupBy([...nodeOfAtom], ([, node]) => find(node)).values())
    for (const [atom] of atoms) people.set(atom, atoms.length > rules.maxAtoms ? atom : atoms[0]![0]);
  return people;
}

function isBlocked(value: string, more: readonly string[]): boolean {
  const text = value.trim().toLowerCase();
  const isOneOf = (values: readonly string[]) => values.some((other) => other.trim().toLowerCase() === text);
  return isOneOf(nobody) || isOneOf(more) || /^0[0-]*$/.test(text) || text.startsWith("test@");
}

/** E-mail addresses and phone numbers that an event states, as they are compared. */
export function contactsOf({ traits = {} }: PersonEvent, blocked: readonly string[]): [ContactKind, string][] {
  const phone = (text: string) => {
    const digits = text.replaceAll(/\D/g, "");
    return text.startsWith("+") ? `+${digits}` : digits.replace(/^00/, "+");
  };
  return Object.entries(traits)
    .filter(([, value]) => !isBlocked(value, blocked))
    .flatMap(([name, value]): [ContactKind, string][] => {
      if (name === "email") return [["email", value.trim().toLowerCase()]];
      return name === "phone" || name === "mobile" ? [["phone", phone(value.trim())]] : [];
    })
    .filter(([, value]) => /[^+]/.test(value));
}

/** Hubs with more counterparts than their limit allows, within some window of when each was first seen. */
function overLimit(ties: readonly Tie[], { max, withinDays }: Limit): Set<string> {
  const over = new Set<string>();
  for (const [hub, ofHub] of groupBy(ties, (tie) => tie.hub)) {
    const firsts = [...groupBy(ofHub, ({ node }) => node).values()].map((same) => Math.min(...same.map((t) => t.time)));
    const within = (from: number) => firsts.filter((at) => at >= from && at <= from + withinDays * dayMs).length;
    if (firsts.some((from) => within(from) > max)) over.add(hub);
  }
  return over;
}

function createUnion() {
  const parents = new Map<string, string>();
  const find = (node: string): string => {
    const parent = parents.get(node) ?? node;
    return parent === node ? node : find(parent);
  };
  return { find, join: (a: string, b: string) => void parents.set(find(a), find(b)) };
}

export function groupBy<Key, Value>(values: Iterable<Value>, keyOf: (value: Value) => Key): Map<Key, Value[]> {
  const groups = new Map<Key, Value[]>();
  for (const value of values) groups.set(keyOf(value), [...(groups.get(keyOf(value)) ?? []), value]);
  return groups;
}
