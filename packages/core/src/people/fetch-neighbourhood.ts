import type { IdentityStore, IdentityView, StoredEdge } from "../ports/identity-store.ts";
import { decidedEdges, decidedNodes, edgeKeyText, type IdentityDecision } from "./identity-decision.ts";
import { type ContactKind, type IdentityRules } from "./identity-rules.ts";
import {
  addFirst,
  createNodeReader,
  deviceNode,
  isOverLimit,
  keysOfEdge,
  userNode,
  type FirstTimes,
  type IdentityAtom,
} from "./resolve-people.ts";

/** Where a look at people begins: nodes (`user:U`, `device:A`) and contacts (`email:hash`). */
export interface Seeds {
  nodes: Iterable<string>;
  contacts: Iterable<string>;
}

export interface Neighbourhood {
  atoms: readonly IdentityAtom[];
  edges: readonly StoredEdge[];
  /** Nodes of which all identities are here: what is said of their people is final. */
  nodes: ReadonlySet<string>;
}

export interface NeighbourhoodOptions {
  store: Pick<IdentityStore, "atomsOf" | "edgesOf" | "plainUsers">;
  site: string;
  rules: IdentityRules;
  /** Of this site. */
  decisions: readonly IdentityDecision[];
  view: IdentityView;
}

/** How many users of a device are looked at to find two that are surely different people. */
const usersLookedAt = 8;
/** A user id of more identities than this, and than a person may have, is not somebody: devices beyond it are not looked at. */
const leastAtomsOfCrowd = 5_000;

/**
 * All that the people of these seeds depend on, and nothing beyond: `resolvePeople` says the same of their identities as it would with everything.
 * It does not pass through what joins nobody, neither now nor at the position before: a contact or a user over its limit, a shared device.
 */
export async function fetchNeighbourhood(seeds: Seeds, options: NeighbourhoodOptions): Promise<Neighbourhood> {
  const { store, site, rules, decisions, view } = options;
  const nodes = createNodeReader(rules);
  const manyAtoms = Math.max(rules.maxAtoms, leastAtomsOfCrowd);
  const { revoked, manual } = decidedEdges(decisions);
  const decided = decidedNodes(decisions);
  const byManual = new Map<string, string[]>();
  for (const { key } of manual.values()) {
    if (!nodes.isNode(key.node) || !nodes.isNode(key.other)) continue;
    byManual.set(key.node, [...(byManual.get(key.node) ?? []), key.other]);
    byManual.set(key.other, [...(byManual.get(key.other) ?? []), key.node]);
  }

  const atoms = new Map<number, IdentityAtom>();
  const edges = new Map<string, StoredEdge>();
  const seen = new Set<string>();
  const crowds: string[] = [];
  let next = new Set<string>();
  const visit = (place: string | undefined): void => {
    if (place !== undefined && !seen.has(place)) next.add(place);
  };
  for (const node of seeds.nodes) visit(node);
  for (const contact of seeds.contacts) visit(contact);

  while (next.size > 0) {
    const now = next;
    next = new Set();
    for (const place of now) seen.add(place);
    const users = idsOf(now, "user:");
    const devices = idsOf(now, "device:");
    const contacts = [...now].filter((place) => !place.startsWith("user:") && !place.startsWith("device:"));
    const [foundAtoms, foundEdges] = await Promise.all([
      users.length + devices.length === 0
        ? []
        : store.atomsOf(site, { users, devices, blocked: rules.blocked, limit: 2 * manyAtoms + 2 }, view),
      store.edgesOf(site, { users, devices, contacts }, view),
    ]);
    const knownAtoms = new Map<string, number>();
    for (const { isKnown, ...atom } of foundAtoms) {
      // Asked for by a user id that stands for nobody: it belongs to its device.
      if (!seen.has(nodes.ofAtom(atom.anonymousId, atom.userId) ?? "")) continue;
      atoms.set(atom.atom, atom);
      if (isKnown && atom.userId !== "") knownAtoms.set(atom.userId, (knownAtoms.get(atom.userId) ?? 0) + 1);
    }
    const around = groupEdges(foundEdges, { nodes, revoked });
    for (const edge of foundEdges) edges.set(edgeText(edge), edge);
    const isCut = (place: string, times: Times | undefined, limit: IdentityRules["limits"]["email"]): boolean =>
      times !== undefined &&
      !decided.nodes.has(place) &&
      !decided.contacts.has(place) &&
      isOverLimit(times.first.values(), limit) &&
      isOverLimit(times.before.values(), limit);

    for (const user of users) {
      const node = userNode(user);
      const place = around.get(node);
      for (const other of byManual.get(node) ?? []) visit(other);
      for (const previous of place?.previous ?? []) visit(previous);
      for (const contact of place?.contacts ?? []) visit(contact);
      // It was quarantined before and still is, and with it whoever belongs to it: for all of them nothing is new.
      const isCrowd = (knownAtoms.get(user) ?? 0) > manyAtoms && !decided.nodes.has(node);
      if ((knownAtoms.get(user) ?? 0) > manyAtoms) crowds.push(node);
      // An alias may be a device that logs in, too, which these times do not know of.
      const isKnown = (place?.previous.size ?? 0) === 0;
      if (!isCrowd && !(isKnown && isCut(node, place?.logins, rules.limits.user_id)))
        for (const device of place?.loginPlaces ?? []) visit(device);
    }
    for (const contact of contacts) {
      const place = around.get(contact);
      const kind = contact.slice(0, contact.indexOf(":")) as ContactKind;
      if (!isCut(contact, place?.logins, rules.limits[kind])) for (const node of place?.loginPlaces ?? []) visit(node);
    }
    const shared = await surelyShared(
      devices.filter((id) => !decided.nodes.has(deviceNode(id))),
      around,
    );
    for (const device of devices) {
      const node = deviceNode(device);
      if (shared.has(node)) continue;
      const place = around.get(node);
      for (const other of [...(byManual.get(node) ?? []), ...(place?.previous ?? [])]) visit(other);
      for (const other of [...(place?.contacts ?? []), ...(place?.loginPlaces ?? [])]) visit(other);
    }
  }
  for (const crowd of crowds) seen.delete(crowd);
  return { atoms: [...atoms.values()], edges: [...edges.values()], nodes: seen };

  /** Devices on which two users logged in that are different people whatever is new: neither has ever been joined to anybody by hand or by alias. */
  async function surelyShared(
    devices: readonly string[],
    around: ReadonlyMap<string, Place>,
  ): Promise<ReadonlySet<string>> {
    const claims = new Map<string, string[]>();
    for (const device of devices) {
      const before = [...(around.get(deviceNode(device))?.logins.before.keys() ?? [])];
      const users = before.filter((node) => !decided.nodes.has(node)).slice(0, usersLookedAt);
      if (users.length > 1) claims.set(deviceNode(device), users);
    }
    if (claims.size === 0) return new Set();
    const users = [...new Set([...claims.values()].flat())].map((node) => node.slice("user:".length));
    const plain = new Set(await store.plainUsers(site, users, rules.limits.user_id.max, view));
    const isShared = ([, some]: [string, string[]]): boolean =>
      some.filter((node) => plain.has(node.slice("user:".length))).length > 1;
    return new Set([...claims].filter(isShared).map(([device]) => device));
  }
}

interface Times {
  first: FirstTimes;
  before: FirstTimes;
}

/** What is next to a node or a contact. */
interface Place {
  logins: Times;
  /** Of a user: devices; of a device: users; of a contact: whoever states it. */
  loginPlaces: Set<string>;
  /** Over an alias. */
  previous: Set<string>;
  contacts: Set<string>;
}

function groupEdges(
  edges: readonly StoredEdge[],
  { nodes, revoked }: { nodes: ReturnType<typeof createNodeReader>; revoked: ReadonlyMap<string, unknown> },
): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  const at = (place: string): Place => {
    const found = places.get(place) ?? {
      logins: { first: new Map<string, number>(), before: new Map<string, number>() },
      loginPlaces: new Set<string>(),
      previous: new Set<string>(),
      contacts: new Set<string>(),
    };
    places.set(place, found);
    return found;
  };
  const tie = (place: string, other: string, { time, timeBefore }: StoredEdge): void => {
    const { logins, loginPlaces } = at(place);
    loginPlaces.add(other);
    addFirst(logins.first, other, time);
    if (timeBefore !== undefined) addFirst(logins.before, other, timeBefore);
  };
  for (const edge of edges) {
    const key = keysOfEdge(edge, nodes);
    if (key === undefined || revoked.has(edgeKeyText(key))) continue;
    if (key.kind === "email" || key.kind === "phone") {
      const contact = `${key.kind}:${key.other}`;
      if (nodes.isBlockedContact(key.kind, key.other)) continue;
      at(key.node).contacts.add(contact);
      tie(contact, key.node, edge);
    } else if (key.kind === "alias") {
      const user = nodes.user(edge.other);
      const device = nodes.device(edge.other);
      for (const previous of [user, device]) {
        if (previous === undefined) continue;
        at(key.node).previous.add(previous);
        at(previous).previous.add(key.node);
      }
    } else {
      tie(key.node, key.other, edge);
      tie(key.other, key.node, edge);
    }
  }
  return places;
}

const idsOf = (places: Iterable<string>, prefix: string): string[] =>
  [...places].filter((place) => place.startsWith(prefix)).map((place) => place.slice(prefix.length));

const edgeText = ({ kind, anonymousId, userId, other, rule }: StoredEdge): string =>
  JSON.stringify([kind, anonymousId, userId, other, rule]);
