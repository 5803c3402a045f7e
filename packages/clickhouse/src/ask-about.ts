import type { ClickHouse } from "./clickhouse.ts";
import { atomsOfPeople } from "./consent/atoms-of-people.ts";

/** So many numbers are as much of a field as a server takes (128 KiB), with room to spare. */
const maxListed = 5_000;
const listed = "{atoms:Array(UInt32)}";

/**
 * Where questions about one person are put. They name the person's identities as `IN {atoms:Array(UInt32)}`: of somebody of very many it is a subquery
 * that is asked, which finds the same ones.
 */
export function askAbout(
  clickhouse: ClickHouse,
  { person, atoms }: { person: number; atoms: readonly number[] },
): Pick<ClickHouse, "query"> {
  if (atoms.length <= maxListed) return clickhouse;
  const found = `(${atomsOfPeople("SELECT {person:UInt32}")})`;
  return {
    query: (sql, options) => {
      const { atoms: _, ...params } = options?.params ?? {};
      return clickhouse.query(sql.replaceAll(listed, found), { ...options, params: { ...params, person } });
    },
  };
}
