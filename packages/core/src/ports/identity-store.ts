import type { IdentityDecision } from "../people/identity-decision.ts";
import type { IdentityAtom, IdentityEdge } from "../people/resolve-people.ts";

/** How far the log of identities and edges is seen. What is newer is not there yet, in every answer that is given for these ends. */
export interface IdentityEnds {
  /** The greatest atom of each residue (`atom % 64`). */
  atoms: ReadonlyMap<number, number>;
  /** By partition of the log, the greatest offset that has an edge. */
  edges: ReadonlyMap<number, number>;
}

/** What the worker has settled, stored after the persons that came of it. */
export interface IdentityPosition extends IdentityEnds {
  /** By site, how many rows of edges there were up to here, less the ties of the nameless. Other later: edges were removed or identities made nameless, and whose they are is to be worked out anew. */
  held: ReadonlyMap<string, number>;
  /** By site, the hash of the rules by which it was settled. */
  rules: ReadonlyMap<string, string>;
  /** Ids of the decisions that it knew. */
  decisions: ReadonlySet<string>;
  /** By site, how many steps of erasures it knew. */
  erasures: ReadonlyMap<string, number>;
  /** The greatest version that was written. */
  version: number;
}

/** The edge of an event, once for each pair and rule. */
export interface StoredEdge extends IdentityEdge {
  /** The same as `time`, of what was there at the position before; undefined when all of it is new. */
  timeBefore?: number | undefined;
}

export interface SiteAtom extends IdentityAtom {
  site: string;
}

export interface SiteEdge extends Omit<IdentityEdge, "rule" | "time"> {
  site: string;
  partition: number;
  offset: number;
}

/** Which part of what is stored counts: up to `upTo`, and `before` is what counts as known already. */
export interface IdentityView {
  upTo: IdentityEnds;
  /** Undefined: everything is known already. */
  before: IdentityEnds | undefined;
}

/** What identities have in common: a user id, a device; a contact that they state. login: one identity, whose device and user an event tied. alias: an identity that names another id, and those that have it. */
export type TiedBy = "user" | "device" | "login" | "contact" | "alias";

/** The part of the store that knows who is one person and why. */
export interface IdentityStore {
  /** A text that is another one when anything here may have changed that people depend on; undefined: it cannot be told without looking. */
  changeMark(): Promise<string | undefined>;
  position(): Promise<IdentityPosition | undefined>;
  /** The greatest version that a worker ever wrote, also one that was cut off or whose clock was ahead; 0 when there is none. */
  greatestVersion(): Promise<number>;
  /** `held` by site: rows of edges up to these ends, and up to those of `before`. */
  ends(before: IdentityEnds | undefined): Promise<{
    ends: IdentityEnds;
    held: ReadonlyMap<string, number>;
    heldBefore: ReadonlyMap<string, number>;
  }>;
  /** Of all sites. */
  decisions(): Promise<IdentityDecision[]>;
  countDecisions(): Promise<number>;
  /** By site, steps of erasures: it grows when one is asked for, and when one is carried out. */
  countErasures(): Promise<ReadonlyMap<string, number>>;

  /** Identities beyond `since` (all when undefined), in the order of their numbers, after the number `after`: at most `limit`. */
  freshAtoms(range: { since: IdentityEnds; upTo: IdentityEnds; after: number; limit: number }): Promise<SiteAtom[]>;
  /** Edges beyond `since` in the order of the log, after this place in it: `limit` of them, and those at the place of the last one. */
  freshEdges(range: {
    since: IdentityEnds;
    upTo: IdentityEnds;
    after: { partition: number; offset: number };
    limit: number;
  }): Promise<SiteEdge[]>;
  /** Identities that have a person other than themselves, or had one, written between these versions. In the order of their numbers. */
  overriddenAtoms(range: {
    after: number;
    limit: number;
    sinceVersion: number;
    beforeVersion: number;
  }): Promise<SiteAtom[]>;
  /** Every site that has identities. */
  sites(): Promise<string[]>;
  /** Everything of one site in numbers, some at a time and in no order: for a look at everything. Values that stand for nobody, `blocked` ones too, tie nothing. */
  allTied(
    site: string,
    by: TiedBy,
    options: { blocked: readonly string[]; upTo: IdentityEnds },
  ): AsyncIterable<readonly (readonly number[])[]>;
  /** The wanted ones of a site in full, some at a time and in no order. */
  allAtoms(
    site: string,
    upTo: IdentityEnds,
    isWanted: (atom: number) => boolean,
  ): AsyncIterable<readonly IdentityAtom[]>;
  /** Edges of wanted identities; one that was written down without its identity is given to another one of the same ids. Each at least once for its kind, ids and rule. */
  allEdges(
    site: string,
    upTo: IdentityEnds,
    isWanted: (atom: number) => boolean,
  ): AsyncIterable<readonly (IdentityEdge & { atom: number })[]>;
  /** Identities that have one of these ids, whatever else they have. */
  atomsNaming(
    site: string,
    ids: { users: readonly string[]; devices: readonly string[] },
    upTo: IdentityEnds,
  ): Promise<IdentityAtom[]>;
  /** Of these identities, those that are there and have an id. */
  namedAtoms(site: string, atoms: readonly number[], upTo: IdentityEnds): Promise<number[]>;
  /** Ties of what a withdrawal has made nameless, or is about to: of a site those of these identities and those to them; all of the site without `atoms`. */
  tiesOf(site: string, atoms?: readonly number[]): Promise<IdentityTie[]>;

  /** What is stored of all identities of a site; those that are not among them: themselves. */
  allPersons(site: string): AsyncIterable<readonly { atom: number; person: number }[]>;

  /** Identities that belong to these users or devices, where `blocked` stand for nobody besides the built-in values. Of a user with more than `limit` only that many, those that were known before first. */
  atomsOf(
    site: string,
    ids: { users: readonly string[]; devices: readonly string[]; blocked: readonly string[]; limit: number },
    view: IdentityView,
  ): Promise<(IdentityAtom & { isKnown: boolean })[]>;
  /** Edges at these users, devices, and contacts (`email:hash`). Those of erased identities are not among them. */
  edgesOf(
    site: string,
    ids: { users: readonly string[]; devices: readonly string[]; contacts: readonly string[] },
    view: IdentityView,
  ): Promise<StoredEdge[]>;
  /** The same with the event that said it first. For answers to people, not for working out who is who. */
  sourcesOf(
    site: string,
    ids: { users: readonly string[]; devices: readonly string[]; contacts: readonly string[] },
    view: IdentityView,
  ): Promise<(StoredEdge & EdgeSource)[]>;
  /** The ids of an identity; undefined when the site has none of that number, or it is erased. */
  idsOf(site: string, atom: number): Promise<IdentityAtom | undefined>;
  /** Of these users, those that have no alias, and at most `maxDevices` devices. */
  plainUsers(site: string, users: readonly string[], maxDevices: number, view: IdentityView): Promise<string[]>;

  /** What is stored of these identities; absent: itself. */
  personsOf(atoms: readonly number[]): Promise<ReadonlyMap<number, number>>;
  writePersons(rows: readonly { site: string; atom: number; person: number }[], version: number): Promise<void>;
  /** Brings every erased identity that is still there to person 0. Returns how many it had to. */
  hideErased(version: number): Promise<number>;
  /** Makes what was written visible to `person(atom)`. */
  publishPersons(): Promise<void>;
  /** What is quarantined, by site: how many people. */
  quarantined(): Promise<readonly QuarantinedPerson[]>;
  writeQuarantined(rows: readonly (QuarantinedPerson & { isReleased: boolean })[], version: number): Promise<void>;
  writePosition(position: IdentityPosition): Promise<void>;
}

/** A nameless identity, and the one whose person it has. */
export interface IdentityTie {
  atom: number;
  other: number;
}

export interface EdgeSource {
  /** Of the first event that said it. */
  messageId: string;
  /** Milliseconds since 1970. */
  receivedAt: number;
}

/** Where decisions are written down. */
export interface DecisionStore {
  /** Of a site, oldest first. */
  decisionsOf(site: string): Promise<IdentityDecision[]>;
  write(decision: IdentityDecision): Promise<void>;
  /**
   * Of these nodes (`user:U`, `device:A`), those of somebody whose erasure was asked for: nobody may see them any more, also where it is not carried out
   * yet. Not a device that somebody else uses, too.
   */
  erasedNodes(site: string, nodes: readonly string[]): Promise<ReadonlyMap<string, ErasedNode>>;
  /** Whether persons are as this decision wants them. */
  isSettled(id: string): Promise<boolean>;
}

export interface ErasedNode {
  /** What stands in its place once the erasure is carried out. */
  name: string;
  /** Milliseconds since 1970: what was decided later is about somebody new. */
  until: number;
}

export interface QuarantinedPerson {
  site: string;
  /** The smallest of its identities. */
  atom: number;
  atoms: number;
}
