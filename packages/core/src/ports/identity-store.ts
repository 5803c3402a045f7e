/** The part of the store that knows which atoms are one person. */
export interface IdentityStore {
  /** The greatest atom of each residue (`atom % 64`): has anything new come? */
  atomHeads(): Promise<ReadonlyMap<number, number>>;
  /**
   * Works out the person of every atom newer than `since` and of all that these touch (every atom when undefined), and writes the differences as
   * overrides with this `version`. The outcome depends on the atoms only, not on the order or the number of calls. Returns how many it wrote.
   *
   * A person is the smallest of their atoms. Atoms with the same user id are one person; an atom with an anonymous id alone belongs to the one user
   * who was seen with that id, and to nobody when there were two (a shared device).
   */
  reconcilePeople(since: ReadonlyMap<number, number> | undefined, version: number): Promise<number>;
  /** Makes what was written visible to `person(atom)`. */
  publishPeople(): Promise<void>;
}
