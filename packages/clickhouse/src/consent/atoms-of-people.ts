/**
 * The identities of some people, as a subquery with one column: a number that was absorbed by another person has none. Both are worked out once for a
 * whole query, however often this is named in it, since they are scalars.
 * @param people a subquery of person ids.
 */
export function atomsOfPeople(people: string): string {
  const asked = `SELECT arrayJoin(bitmapToArray((SELECT groupBitmapState(toUInt32(*)) FROM (${people}))))`;
  return `SELECT arrayJoin(bitmapToArray((SELECT groupBitmapState(atom) FROM (
    SELECT asked, asked AS atom FROM (${asked} AS asked)
    UNION ALL
    SELECT person AS asked, atom FROM person_atom WHERE person IN (${asked})
  ) WHERE person(atom) = asked))) AS atom`;
}
