/** A set of people as an expression, a bitmap. */
export interface PeopleSet {
  sql: string;
  /** It is of everyone but these. */
  isComplement?: true;
  /** Whoever is in it left a row that is no bot's. */
  isSeen?: true;
  /** All of them are among {@link PeopleSets.everyone}. */
  isStored?: true;
}

/** Events that several conditions look at, each through a window of its own. */
export interface SharedEvents {
  /** The same for all conditions that look at the same events. */
  key: string;
  /** The window that this condition has to see, in milliseconds up to now; undefined: all that has happened. */
  lengthMs: number | undefined;
  /** What this condition adds up; conditions that add up something else are asked apart. */
  addend?: string;
  /** How often an order was sent makes no difference to this condition. */
  withCopies?: boolean;
  /** A subquery with `person_id`, and `time` and `addend` where they are asked for, of the longest of the windows. */
  rows: (asked: { lengthMs: number | undefined; withCopies: boolean }) => string;
}

/**
 * The sets that a statement is put together from. Each is worked out once, however often it is used, and all
 * that is done with sets is done with bitmaps of people's numbers. Everyone is only worked out where a set cannot be told without.
 */
export interface PeopleSets {
  /** @param people a subquery with a column `person_id`, which may have repetitions and 0. */
  of(people: string, given?: Pick<PeopleSet, "isSeen" | "isStored">): PeopleSet;
  /** @param condition on the events of a person, made of aggregates. Conditions on the same events are worked out in one go. */
  ofEvents(events: SharedEvents, condition: string): PeopleSet;
  /** @param rows what follows FROM, of a table with a column `atom`. Whose they are is looked up once an atom, not once a row. */
  ofAtoms(rows: string, given?: Pick<PeopleSet, "isSeen" | "isStored">): PeopleSet;
  /** @param bitmap a subquery of one row with a bitmap of atoms, `atoms`. */
  ofBitmap(bitmap: string, given?: Pick<PeopleSet, "isSeen" | "isStored">): PeopleSet;
  and(sets: readonly PeopleSet[]): PeopleSet;
  or(sets: readonly PeopleSet[]): PeopleSet;
  /** Everyone of the site who is not in it. */
  not(set: PeopleSet): PeopleSet;
  /** A SELECT of one row, with the people of each set who are somebody as a bitmap: `a0`, `a1`, … */
  select(sets: readonly PeopleSet[]): string;
}

const peopleOfAtoms = (rows: string): string => peopleOfBitmap(`SELECT groupBitmapState(atom) AS atoms FROM ${rows}`);

/** @param bitmap a subquery of one row with a bitmap of atoms, `atoms`. */
const peopleOfBitmap = (bitmap: string): string =>
  `SELECT person(atom) AS person_id FROM (SELECT arrayJoin(bitmapToArray(atoms)) AS atom FROM (${bitmap}))`;

// Who is only known of what is still to come is nobody yet.
const hasBegun = "first_seen <= fromUnixTimestamp64Milli({now:Int64}, 'UTC')";

/**
 * Everyone of the site: whoever left a row that is no bot's. Somebody whose profile was withdrawn is nobody any more, although
 * the events are still counted: they have no state.
 */
const everyone = peopleOfAtoms(`profile_state WHERE site = {site:String} AND ${hasBegun}`);

// Who was withdrawn has a row in `atom` without a key, and few have: they are looked up instead of all the others. What still belongs to one of them by
// name holds on: it has a state, and is found by its number.
const withdrawn = "SELECT atom FROM atom WHERE site = {site:String} AND key = 0 AND anonymous_id = '' AND user_id = ''";
const withdrawnPeople = `SELECT person(atom) AS person FROM (${withdrawn})`;
const theirAtoms = `SELECT atom FROM (${withdrawn}) UNION DISTINCT SELECT person FROM (${withdrawnPeople}) UNION DISTINCT SELECT i.atom FROM identity AS i WHERE i.person IN (${withdrawnPeople})`;
const nobodies = `SELECT person AS person_id FROM (${withdrawnPeople})
  WHERE person_id NOT IN (SELECT person(p.atom) FROM profile_state AS p WHERE p.site = {site:String} AND p.atom IN (${theirAtoms}) AND p.${hasBegun})`;

export function createPeopleSets(): PeopleSets {
  /** By a subquery of people: the name of its bitmap. */
  const names = new Map<string, string>();
  /** By key and addend: who looks at the same events. */
  const shared = new Map<string, { events: SharedEvents; condition: string; name: string }[]>();
  let count = 0;
  const newName = (): string => `s${count++}`;
  const nameOf = (people: string): string => {
    const name = names.get(people) ?? newName();
    names.set(people, name);
    return name;
  };
  const sets: PeopleSets = {
    of: (people, given) => ({ sql: nameOf(people), ...given }),
    ofEvents(events, condition) {
      const key = JSON.stringify([events.key, events.addend]);
      const others = shared.get(key) ?? [];
      shared.set(key, others);
      const same = others.find((other) => other.condition === condition && other.events.lengthMs === events.lengthMs);
      if (same !== undefined) return { sql: same.name, isSeen: true };
      const name = newName();
      others.push({ events, condition, name });
      return { sql: name, isSeen: true };
    },
    ofAtoms: (rows, given) => sets.of(peopleOfAtoms(rows), given),
    ofBitmap: (bitmap, given) => sets.of(peopleOfBitmap(bitmap), given),
    and(all) {
      const inside = all.filter((set) => set.isComplement === undefined);
      const outside = all.filter((set) => set.isComplement === true);
      if (inside.length === 0) return sets.not(sets.or(outside.map(inverse)));
      const sql = join("bitmapAnd", inside);
      return {
        sql: outside.length === 0 ? sql : `bitmapAndnot(${sql}, ${join("bitmapOr", outside)})`,
        ...(inside.some(({ isSeen }) => isSeen) && { isSeen: true }),
        ...(inside.some(({ isStored }) => isStored) && { isStored: true }),
      };
    },
    or(all) {
      if (all.some(({ isComplement }) => isComplement)) return inverse(sets.and(all.map(inverse)));
      return {
        sql: join("bitmapOr", all),
        ...(all.every(({ isSeen }) => isSeen) && { isSeen: true }),
        ...(all.every(({ isStored }) => isStored) && { isStored: true }),
      };
    },
    not: inverse,
    select(all) {
      const chosenOnes = all.map(
        (set, index) => `bitmapAndnot(${chosen(set)}, bitmapBuild([toUInt32(0)])) AS a${index}`,
      );
      const found = [...names].map(
        ([people, name]) => `SELECT '${name}' AS n, groupBitmapState(person_id) AS people FROM (${people})`,
      );
      const columns = Array.from({ length: count }, (_, n) => `groupBitmapMergeStateIf(people, n = 's${n}') AS s${n}`);
      return `SELECT ${chosenOnes.join(", ")}
FROM (
SELECT ${columns.join(", ")}
FROM (
${[...found, ...together(shared)].join("\nUNION ALL\n")}
))`;
    },
  };
  return sets;

  function chosen({ sql, isComplement, isSeen, isStored }: PeopleSet): string {
    if (isComplement === true) return `bitmapAndnot(${nameOf(everyone)}, ${sql})`;
    if (isStored === true) return sql;
    return isSeen === true ? `bitmapAndnot(${sql}, ${nameOf(nobodies)})` : `bitmapAnd(${sql}, ${nameOf(everyone)})`;
  }
}

/** A complement of what is seen or stored says nothing of those who are left. */
const inverse = ({ sql, isComplement, ...given }: PeopleSet): PeopleSet =>
  isComplement === true ? { sql, ...given } : { sql, isComplement: true, ...given };

/** In halves, so that a long list does not become a deep expression. */
function join(operation: string, sets: readonly PeopleSet[]): string {
  const halves = (expressions: readonly string[]): string => {
    if (expressions.length === 1) return expressions[0]!;
    const half = Math.ceil(expressions.length / 2);
    return `${operation}(${halves(expressions.slice(0, half))}, ${halves(expressions.slice(half))})`;
  };
  return halves([...new Set(sets.map(({ sql }) => sql))]);
}

/** Conditions on the same events as one subquery, with a bitmap each. */
function together(
  shared: ReadonlyMap<string, readonly { events: SharedEvents; condition: string; name: string }[]>,
): string[] {
  const groups = [...shared.values()].map((conditions) => [...conditions]);
  // Who adds up nothing may look at the rows of somebody who does.
  const [adding, others] = [true, false].map((adds) =>
    groups.filter(([first]) => (first!.events.addend !== undefined) === adds),
  ) as [typeof groups, typeof groups];
  const alone = others.filter((group) => {
    const host = adding.find(([first]) => first!.events.key === group[0]!.events.key);
    host?.push(...group);
    return host === undefined;
  });
  return [...adding, ...alone].map((group) => {
    const lengths = group.map(({ events }) => events.lengthMs);
    const lengthMs = lengths.includes(undefined) ? undefined : Math.max(...lengths.map(Number));
    const withCopies = group.every(({ events }) => events.withCopies === true);
    const bitmaps = group.map(({ name }) => `('${name}', groupBitmapStateIf(person_id, ${name}_holds))`);
    const conditions = group.map(({ condition, name }) => `${condition} AS ${name}_holds`);
    return `SELECT each.1 AS n, each.2 AS people FROM (
SELECT arrayJoin([${bitmaps.join(", ")}]) AS each FROM (
SELECT person_id, ${conditions.join(", ")} FROM (${group[0]!.events.rows({ lengthMs, withCopies })}) GROUP BY person_id))`;
  });
}
