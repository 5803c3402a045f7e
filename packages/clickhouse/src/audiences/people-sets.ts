/** A set of people as an expression, a bitmap. */
export interface PeopleSet {
  sql: string;
  /** All of them are people of whom something is stored by name: see {@link PeopleSets.everyone}. */
  isStored: boolean;
}

/**
 * The sets that a statement is put together from. Each is worked out once, however often it is used, and all
 * that is done with sets is done with bitmaps of people's numbers.
 */
export interface PeopleSets {
  /** @param people a subquery with a column `person_id`, which may have repetitions and 0. */
  of(people: string, given?: { isStored: true }): PeopleSet;
  /**
   * Everyone of the site: whoever left a row that is no bot's. Somebody whose profile was withdrawn is nobody any more, although
   * the events are still counted: they have no state.
   */
  everyone(): PeopleSet;
  and(sets: readonly PeopleSet[]): PeopleSet;
  or(sets: readonly PeopleSet[]): PeopleSet;
  /** Those of the first set that are not in the second one. */
  without(set: PeopleSet, others: PeopleSet): PeopleSet;
  /** A SELECT of the people of a set who are somebody. */
  select(set: PeopleSet): string;
}

/**
 * Of the atoms of some rows: who they belong to is looked up once an atom, not once a row.
 * @param rows what follows FROM, of a table with a column `atom`.
 */
export const peopleOfAtoms = (rows: string): string =>
  peopleOfBitmap(`SELECT groupBitmapState(atom) AS atoms FROM ${rows}`);

/** @param bitmap a subquery of one row with a bitmap of atoms, `atoms`. */
export const peopleOfBitmap = (bitmap: string): string =>
  `SELECT person(atom) AS person_id FROM (SELECT arrayJoin(bitmapToArray(atoms)) AS atom FROM (${bitmap}))`;

const everyone = peopleOfAtoms("profile_state WHERE site = {site:String}");

export function createPeopleSets(): PeopleSets {
  const names = new Map<string, string>();
  const sets: PeopleSets = {
    of(people, given) {
      const name = names.get(people) ?? `s${names.size}`;
      names.set(people, name);
      return { sql: name, isStored: given?.isStored ?? false };
    },
    everyone: () => sets.of(everyone, { isStored: true }),
    and: (all) => ({
      sql: join(
        "bitmapAnd",
        all.map(({ sql }) => sql),
      ),
      isStored: all.some(({ isStored }) => isStored),
    }),
    or: (all) => ({
      sql: join(
        "bitmapOr",
        all.map(({ sql }) => sql),
      ),
      isStored: all.every(({ isStored }) => isStored),
    }),
    without: (set, others) => ({ sql: `bitmapAndnot(${set.sql}, ${others.sql})`, isStored: set.isStored }),
    select(set) {
      const { sql } = set.isStored ? set : sets.and([set, sets.everyone()]);
      const all = [...names.keys()].map(
        (people, index) => `SELECT ${index} AS n, groupBitmapState(person_id) AS people FROM (${people})`,
      );
      const columns = [...names.values()].map(
        (name, index) => `groupBitmapMergeStateIf(people, n = ${index}) AS ${name}`,
      );
      return `SELECT arrayJoin(bitmapToArray(bitmapAndnot(${sql}, bitmapBuild([toUInt32(0)])))) AS person_id
FROM (
SELECT ${columns.join(", ")}
FROM (
${all.join("\nUNION ALL\n")}
))`;
    },
  };
  return sets;
}

/** In halves, so that a long list does not become a deep expression. */
function join(operation: string, sets: readonly string[]): string {
  const different = [...new Set(sets)];
  if (different.length === 1) return different[0]!;
  const half = Math.ceil(different.length / 2);
  return `${operation}(${join(operation, different.slice(0, half))}, ${join(operation, different.slice(half))})`;
}
