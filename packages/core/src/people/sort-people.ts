import type { IdentityRules } from "./identity-rules.ts";
import { createNumberMap } from "./number-map.ts";

/** Of what no rule has to be asked, the person; of the rest, to whom it is tied. */
export interface SortedPeople {
  /** Every identity whose person is certain, with its person. */
  certain(): Iterable<[atom: number, person: number]>;
  /** Whether it is an identity of some user id or device that stands for somebody. */
  isKnown(atom: number): boolean;
  /** By any number, the part of the rest that an identity is in; undefined where it is certain or not known. Different parts have nothing to do with each other. */
  partOf(atom: number): number | undefined;
  /** The rest, in lots of whole parts: of so many identities each, unless a part alone has more. */
  lots: number;
  /** From 0. */
  lotOf(part: number): number;
}

export interface PeopleSorter {
  /** Identities of one user id that stands for somebody. Users and devices come first. */
  addUser(atoms: readonly number[]): void;
  /** Identities of one device that stands for somebody, with or without a user id. */
  addDevice(atoms: readonly number[]): void;
  /** An identity of which some event tied the device to the user. */
  addLogin(atom: number): void;
  /** Identities that state one contact. */
  addContact(atoms: readonly number[]): void;
  /** Identities of ids that something else ties, or might: an alias, a decision. They are of the rest, in one part. */
  addOdd(atoms: readonly number[]): void;
  /** @param atomsOfLot how many identities are looked at together */
  sort(atomsOfLot: number): SortedPeople;
}

const none = -1;
const several = -2;

/**
 * Looks at everything of one site once, in numbers: mostly a person is a device alone, or one user with devices on which nobody else logs in, and
 * nothing can part them. Whatever else might tie or part anybody is the rest, for `resolvePeople`. Some 60 bytes for each identity and id.
 */
export function createPeopleSorter(rules: Pick<IdentityRules, "limits" | "maxAtoms">): PeopleSorter {
  /** By atom, its place from 1 on in the lists of atoms. */
  const placeOfAtom = createNumberMap();
  const atoms = createNumbers(Uint32Array);
  const userOfAtom = createNumbers();
  const deviceOfAtom = createNumbers();
  /** Of nodes: users and devices. */
  const parents = createNumbers();
  /** Of a device, the one user who logs in on it; of a user: itself. */
  const userOf = createNumbers();
  /** Of a user, on how many devices they log in. */
  const devicesOf = createNumbers();
  const oddNodes = createNumbers();
  /** Two nodes that state the same contact, one after the other. */
  const agreeing = createNumbers();

  const placeOf = (atom: number): number => {
    const known = placeOfAtom.get(atom);
    if (known !== 0) return known - 1;
    atoms.push(atom);
    userOfAtom.push(none);
    deviceOfAtom.push(none);
    placeOfAtom.set(atom, atoms.length());
    return atoms.length() - 1;
  };
  const addNode = (isUser: boolean): number => {
    const node = parents.length();
    parents.push(node);
    userOf.push(isUser ? node : none);
    devicesOf.push(0);
    return node;
  };
  /** To whom an identity belongs before anything joins it. */
  const ownNode = (place: number): number =>
    userOfAtom.at(place) === none ? deviceOfAtom.at(place) : userOfAtom.at(place);
  const find = (node: number): number => {
    let root = node;
    for (let parent = parents.at(root); parent !== root; parent = parents.at(root)) {
      // Half of the way each time: chains of aliases are long.
      parents.set(root, parents.at(parent));
      root = parents.at(root);
    }
    return root;
  };
  const join = (a: number, b: number): void => {
    const [left, right] = [find(a), find(b)];
    if (left !== right) parents.set(Math.max(left, right), Math.min(left, right));
  };

  return {
    addUser(some) {
      const node = addNode(true);
      for (const atom of some) userOfAtom.set(placeOf(atom), node);
    },
    addDevice(some) {
      const node = addNode(false);
      for (const atom of some) deviceOfAtom.set(placeOf(atom), node);
    },
    addLogin(atom) {
      const place = placeOfAtom.get(atom) - 1;
      if (place === none) return;
      const [user, device] = [userOfAtom.at(place), deviceOfAtom.at(place)];
      if (user === none || device === none) return;
      join(user, device);
      const known = userOf.at(device);
      if (known === user) return;
      userOf.set(device, known === none ? user : several);
      devicesOf.set(user, devicesOf.at(user) + 1);
    },
    addContact(some) {
      let before = none;
      for (const atom of some) {
        const place = placeOfAtom.get(atom) - 1;
        const node = place === none ? none : ownNode(place);
        if (node === none || node === before) continue;
        if (before !== none) {
          join(before, node);
          agreeing.push(before);
          agreeing.push(node);
        }
        before = node;
      }
    },
    addOdd(some) {
      let before = none;
      for (const atom of some) {
        const place = placeOfAtom.get(atom) - 1;
        if (place === none) continue;
        for (const node of [userOfAtom.at(place), deviceOfAtom.at(place)]) {
          if (node === none) continue;
          oddNodes.push(node);
          if (before !== none) join(before, node);
          before = node;
        }
      }
    },
    sort(atomsOfLot) {
      const count = parents.length();
      const isRest = new Uint8Array(count);
      /** The user of a device that is theirs alone; else itself. */
      const starOf = (node: number): number => (userOf.at(node) < 0 ? node : userOf.at(node));
      for (let at = 0; at < oddNodes.length(); at++) isRest[find(oddNodes.at(at))] = 1;
      for (let at = 0; at < agreeing.length(); at += 2)
        if (starOf(agreeing.at(at)) !== starOf(agreeing.at(at + 1))) isRest[find(agreeing.at(at))] = 1;
      for (let node = 0; node < count; node++)
        if (devicesOf.at(node) > rules.limits.user_id.max) isRest[find(node)] = 1;
      const smallest = new Uint32Array(count).fill(0xffff_ffff);
      const atomsIn = new Uint32Array(count);
      for (let place = 0; place < atoms.length(); place++) {
        const star = starOf(ownNode(place));
        smallest[star] = Math.min(smallest[star]!, atoms.at(place));
        atomsIn[star]!++;
      }
      for (let node = 0; node < count; node++) if (atomsIn[node]! > rules.maxAtoms) isRest[find(node)] = 1;

      const atomsOfPart = atomsIn.fill(0);
      for (let place = 0; place < atoms.length(); place++) {
        const part = find(ownNode(place));
        if (isRest[part] === 1) atomsOfPart[part]!++;
      }
      const lotOf = new Uint32Array(count);
      let lots = 0;
      let inLot = 0;
      for (let node = 0; node < count; node++) {
        if (atomsOfPart[node] === 0) continue;
        if (lots === 0 || inLot + atomsOfPart[node]! > atomsOfLot) {
          lots++;
          inLot = 0;
        }
        lotOf[node] = lots - 1;
        inLot += atomsOfPart[node]!;
      }
      return {
        lots,
        lotOf: (part) => lotOf[part]!,
        isKnown: (atom) => placeOfAtom.get(atom) !== 0,
        partOf(atom) {
          const place = placeOfAtom.get(atom) - 1;
          const part = place === none ? none : find(ownNode(place));
          return part !== none && isRest[part] === 1 ? part : undefined;
        },
        *certain() {
          for (let place = 0; place < atoms.length(); place++) {
            const node = ownNode(place);
            if (isRest[find(node)] === 0) yield [atoms.at(place), smallest[starOf(node)]!];
          }
        },
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

/** A list that grows, in four bytes for each number. */
function createNumbers(List: typeof Int32Array | typeof Uint32Array = Int32Array): Numbers {
  let values = new List(1_024);
  let length = 0;
  return {
    length: () => length,
    push(value) {
      if (length === values.length) {
        const longer = new List(2 * length);
        longer.set(values);
        values = longer;
      }
      values[length++] = value;
    },
    at: (index) => values[index]!,
    set: (index, value) => void (values[index] = value),
  };
}
