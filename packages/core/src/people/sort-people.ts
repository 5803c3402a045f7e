import { decidedEdges, decidedNodes, type IdentityDecision } from "./identity-decision.ts";
import type { IdentityRules } from "./identity-rules.ts";
import { createNodeReader, deviceNode, userNode, type IdentityAtom, type IdentityEdge } from "./resolve-people.ts";

type StatedEdge = Pick<IdentityEdge, "kind" | "anonymousId" | "userId" | "other">;

/** Of what no rule has to be asked, the person; of the rest, to whom it is tied. */
export interface SortedPeople {
  /** Every identity whose person is certain, with its person. */
  certain(): Iterable<[atom: number, person: number]>;
  hasRest: boolean;
  /** By any number, the rest that one of these is part of; undefined where it is certain. Rests with different numbers have nothing to do with each other. */
  restOfAtom(atom: IdentityAtom): number | undefined;
  restOfEdge(edge: StatedEdge): number | undefined;
}

export interface PeopleSorter {
  addEdge(edge: StatedEdge): void;
  /** When all edges are added. */
  addAtom(atom: IdentityAtom): void;
  sort(): SortedPeople;
}

const none = -1;
const several = -2;

/**
 * Looks at everything of one site once, in any order of edges: mostly a person is a device alone, or one user with devices on which nobody else logs
 * in, and nothing can part them. Whatever else might tie or part anybody is the rest, for `resolvePeople`. Some 150 bytes for each id and contact.
 */
export function createPeopleSorter({
  rules,
  decisions,
}: {
  rules: IdentityRules;
  decisions: readonly IdentityDecision[];
}): PeopleSorter {
  const reader = createNodeReader(rules);
  const users = new Map<string, number>();
  const devices = new Map<string, number>();
  const contacts = new Map<string, number>();
  const parents = createNumbers();
  /** Of a device, the one user who logs in on it; of a user: itself. */
  const userOf = createNumbers();
  /** Of a user, on how many devices they log in. */
  const devicesOf = createNumbers();
  const isOdd = createNumbers();
  const atomNumbers = createNumbers();
  const atomPlaces = createNumbers();

  const add = (user: number): number => {
    const place = parents.length();
    parents.push(place);
    userOf.push(user);
    devicesOf.push(0);
    isOdd.push(0);
    return place;
  };
  const placeOfUser = (id: string): number => {
    const known = users.get(id);
    if (known !== undefined) return known;
    if (reader.user(id) === undefined) return none;
    const place = add(parents.length());
    users.set(id, place);
    return place;
  };
  const placeOfDevice = (id: string): number => {
    const known = devices.get(id);
    if (known !== undefined) return known;
    if (reader.device(id) === undefined) return none;
    const place = add(none);
    devices.set(id, place);
    return place;
  };
  const placeOfContact = (contact: string): number => {
    const known = contacts.get(contact);
    if (known !== undefined) return known;
    const place = add(several);
    contacts.set(contact, place);
    return place;
  };
  const find = (place: number): number => {
    let root = place;
    for (let parent = parents.at(root); parent !== root; parent = parents.at(root)) {
      // Half of the way each time: chains of aliases are long.
      parents.set(root, parents.at(parent));
      root = parents.at(root);
    }
    return root;
  };
  const join = (a: number, b: number): void => {
    if (a === none || b === none) return;
    const [left, right] = [find(a), find(b)];
    if (left !== right) parents.set(Math.max(left, right), Math.min(left, right));
  };
  const placeOfNode = (node: string): number => {
    const id = node.slice(node.indexOf(":") + 1);
    return node === userNode(id) ? placeOfUser(id) : node === deviceNode(id) ? placeOfDevice(id) : none;
  };
  const setOdd = (place: number): void => {
    if (place !== none) isOdd.set(place, 1);
  };

  const decided = decidedNodes(decisions);
  for (const node of decided.nodes) setOdd(placeOfNode(node));
  for (const contact of decided.contacts) setOdd(placeOfContact(contact));
  for (const { key } of decidedEdges(decisions).manual.values()) join(placeOfNode(key.node), placeOfNode(key.other));

  const placeOf = (anonymousId: string, userId: string): number => {
    const user = placeOfUser(userId);
    return user === none ? placeOfDevice(anonymousId) : user;
  };

  return {
    addEdge({ kind, anonymousId, userId, other }) {
      const user = placeOfUser(userId);
      if (kind === "email" || kind === "phone") {
        const place = placeOf(anonymousId, userId);
        if (place !== none && !reader.isBlockedContact(kind, other)) join(place, placeOfContact(`${kind}:${other}`));
        return;
      }
      if (user === none) return;
      if (kind === "alias") {
        // What was the previous id, if anything, depends on what else is there.
        for (const place of [user, placeOfUser(other), placeOfDevice(other)]) {
          setOdd(place);
          join(user, place);
        }
        return;
      }
      const device = placeOfDevice(anonymousId);
      if (device === none) return;
      join(user, device);
      const known = userOf.at(device);
      if (known === user) return;
      userOf.set(device, known === none ? user : several);
      devicesOf.set(user, devicesOf.at(user) + 1);
    },
    addAtom(atom) {
      // Nameless after a withdrawal: it stays whose it was.
      if (atom.anonymousId === "" && atom.userId === "") return;
      atomNumbers.push(atom.atom);
      atomPlaces.push(placeOf(atom.anonymousId, atom.userId));
    },
    sort() {
      const count = parents.length();
      const isRest = new Uint8Array(count);
      const usersIn = new Uint32Array(count);
      const devicesIn = new Uint32Array(count);
      const looseIn = new Uint32Array(count);
      const atomsIn = new Uint32Array(count);
      const smallest = new Uint32Array(count).fill(0xffff_ffff);
      for (let place = 0; place < count; place++) {
        const root = find(place);
        const user = userOf.at(place);
        if (isOdd.at(place) === 1) isRest[root] = 1;
        if (user === place) {
          usersIn[root]!++;
          if (devicesOf.at(place) > rules.limits.user_id.max) isRest[root] = 1;
        }
      }
      for (const place of devices.values()) {
        const root = find(place);
        devicesIn[root]!++;
        if (userOf.at(place) < 0) looseIn[root]!++;
      }
      for (let at = 0; at < atomNumbers.length(); at++) {
        const place = atomPlaces.at(at);
        if (place === none) continue;
        const root = find(place);
        atomsIn[root]!++;
        smallest[root] = Math.min(smallest[root]!, atomNumbers.at(at));
      }
      let hasRest = false;
      for (let place = 0; place < count; place++) {
        if (find(place) !== place) continue;
        const isStar = usersIn[place] === 1 && looseIn[place] === 0;
        const isAlone = usersIn[place] === 0 && devicesIn[place]! <= 1;
        if (!(isStar || isAlone) || atomsIn[place]! > rules.maxAtoms) isRest[place] = 1;
        if (isRest[place] === 1) hasRest = true;
      }
      const restOf = (place: number): number | undefined =>
        place !== none && place < count && isRest[find(place)] === 1 ? find(place) : undefined;
      return {
        hasRest,
        *certain() {
          for (let at = 0; at < atomNumbers.length(); at++) {
            const atom = atomNumbers.at(at);
            const place = atomPlaces.at(at);
            if (place === none) yield [atom, atom];
            else if (isRest[find(place)] === 0) yield [atom, smallest[find(place)]!];
          }
        },
        restOfAtom: ({ anonymousId, userId }) => restOf(placeOf(anonymousId, userId)),
        restOfEdge: ({ anonymousId, userId }) => restOf(placeOf(anonymousId, userId)),
      };
    },
  };
}

interface Numbers {
  length(): number;
  push(value: number): void;
  at(index: number): number;
  set(index: number, value: number): void;
}

/** A list of numbers up to 2^32 and from -2 in eight bytes each, which grows. */
function createNumbers(): Numbers {
  let values = new Float64Array(1_024);
  let length = 0;
  return {
    length: () => length,
    push(value) {
      if (length === values.length) {
        const longer = new Float64Array(2 * length);
        longer.set(values);
        values = longer;
      }
      values[length++] = value;
    },
    at: (index) => values[index]!,
    set: (index, value) => void (values[index] = value),
  };
}
