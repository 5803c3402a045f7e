/** The part of the store that forgets people. */
export interface ErasureStore {
  /** People by what was given: a user id before an anonymous id, or what `by` says. Ids of nobody are not in the answer. */
  findPeople(
    site: string,
    ids: readonly string[],
    by: "any" | "person" | "user" | "anonymous",
  ): Promise<Map<string, number>>;
  /**
   * Writes down that these people, or these traits of them, are to be erased. People are hidden when it resolves: no view and no question knows
   * them. Numbers that nobody of the site has are left out.
   */
  request(order: ErasureOrder): Promise<RequestedErasure[]>;
  /**
   * Erasures that have not been carried out to the end, oldest first, at most `limit`; then further rounds of those of which something came to
   * light since: an event that was loaded late, rows that a restore brought back.
   */
  openErasures(limit: number, now: () => Date): Promise<Erasure[]>;
  /** Hides them again, and writes down what is there of them. A while has to pass between `at` of an erasure and {@link carryOut}: loaders read it. */
  begin(erasures: readonly Erasure[], now: () => Date): Promise<void>;
  /**
   * Removes them from every table and writes what is left. Done only when that is nothing. May be stopped anywhere and asked again. Returns the
   * number of identities that are gone.
   */
  carryOut(erasures: readonly Erasure[], now: () => Date): Promise<number>;
  /**
   * Takes off the disk what was removed, here or by a withdrawal, and no question finds any more. Whole tables are written anew for it, however little
   * it is. Returns how many tables that were.
   */
  sweep(): Promise<number>;
  /** Undefined when there is none with this id. */
  receipt(id: string): Promise<ErasureReceipt | undefined>;
  /** The newest first. */
  list(options: { site?: string | undefined; limit: number }): Promise<ErasureSummary[]>;
}

export interface ErasureOrder {
  site: string;
  /** Numbers of people; one that was absorbed stands for its survivor. */
  people: readonly number[];
  /** Undefined: everything. */
  part?: ErasedPart | undefined;
  /** Who asks for it. */
  actor: string;
  reason: string;
  at: Date;
}

/** Traits that go while the person stays: those named, and those of a class but for what is kept. */
export interface ErasedPart {
  traits?: readonly string[] | undefined;
  class?: string | undefined;
  keep?: readonly string[] | undefined;
}

export interface RequestedErasure {
  id: string;
  /** The number that was given. */
  asked: number;
  person: number;
  kind: ErasureKind;
  identities: number;
  /** With kind traits: the names of those that go. */
  traits: string[];
}

export type ErasureKind = "person" | "traits";

export interface Erasure {
  site: string;
  id: string;
  /** 1; more where something came to light after it had been carried out. */
  round: number;
  kind: ErasureKind;
  atoms: readonly number[];
  /** Of these, those that somebody new has begun to use since: they lose what happened before the erasure, and go on. */
  keptAtoms: readonly number[];
  traits: readonly string[];
  /** When it was asked for, in milliseconds since 1970. */
  requestedAt: number;
  /** When this round was written down, in milliseconds since 1970. */
  at: number;
}

export interface ErasureSummary {
  id: string;
  site: string;
  kind: ErasureKind;
  requestedAt: number;
  actor: string;
  reason: string;
  identities: number;
  state: "requested" | "begun" | "done";
}

export interface ErasureReceipt extends ErasureSummary {
  /** Number of the person when it was asked for. */
  person: number;
  traits: string[];
  /** Keyed hashes of the ids, as decimal numbers: who has an id and the key can show that it was erased. */
  keys: string[];
  rounds: {
    round: number;
    isDone: boolean;
    at: number;
    /** Rows of this person by table: before, and what is left. */
    tables: { table: string; rows: number; remaining: number }[];
  }[];
}

/** What loaders need to refuse what is sent again. */
export interface ErasedIds {
  /** 128 bits as four words, the lowest first; undefined where nobody was ever erased. */
  hashKey: Uint32Array | undefined;
  /** By keyed hash of an id: before when it counts as erased, in milliseconds since 1970. */
  keys: ReadonlyMap<bigint, number>;
}
