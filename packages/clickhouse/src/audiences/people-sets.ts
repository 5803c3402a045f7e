/** A set of people as an expression: a bitmap. */
export type PeopleSet = string;

/**
 * The sets that a statement is put together from. Each is worked out once, however often it is used, and all
 * that is done with sets is done with bitmaps of people's numbers.
 */
export interface PeopleSets {
  /** @param people a subquery with a column `person_id`, which may have repetitions and 0. */
  of(people: string): PeopleSet;
  /** Everyone of the site. */
  everyone(): PeopleSet;
  and(sets: readonly PeopleSet[]): PeopleSet;
  or(sets: readonly PeopleSet[]): PeopleSet;
  /** Those of the first set that are not in the second one. */
  without(set: PeopleSet, others: PeopleSet): PeopleSet;
  /** A SELECT of the people of a set. */
  select(set: PeopleSet): string;
}

/** Whoever left a row that is no bot's. A person of bots alone is nobody. */
const everyone = "SELECT person(atom) AS person_id FROM profile_state WHERE site = {site:String}";

export function createPeopleSets(): PeopleSets {
  const names = new Map<string, string>();
  const of = (people: string): PeopleSet => {
    const known = names.get(people);
    if (known !== undefined) return known;
    const name = `s${names.size}`;
    names.set(people, name);
    return name;
  };
  /** In halves, so that a long list does not become a deep expression. */
  const join = (operation: string, sets: readonly PeopleSet[]): PeopleSet => {
    const different = [...new Set(sets)];
    if (different.length === 1) return different[0]!;
    const half = Math.ceil(different.length / 2);
    return `${operation}(${join(operation, different.slice(0, half))}, ${join(operation, different.slice(half))})`;
  };
  return {
    of,
    everyone: () => of(everyone),
    and: (sets) => join("bitmapAnd", sets),
    or: (sets) => join("bitmapOr", sets),
    without: (set, others) => `bitmapAndnot(${set}, ${others})`,
    select(set) {
      const all = [...names].map(
        ([people, name], index) => `SELECT ${index} AS n, groupBitmapState(person_id) AS people FROM (${people})`,
      );
      const columns = [...names.values()].map((name, index) => `groupBitmapMergeStateIf(people, n = ${index}) AS ${name}`);
      return `SELECT arrayJoin(bitmapToArray(bitmapAndnot(${set}, bitmapBuild([toUInt32(0)])))) AS person_id
FROM (
SELECT ${columns.join(", ")}
FROM (
${all.join("\nUNION ALL\n")}
))`;
    },
  };
}
