/**
 * The identities of some people, as a subquery with one column: a number that was absorbed by another person has none. What `people` asks is worked out
 * once for a whole query, however often this is named in it.
 * @param people a subquery of person ids.
 */
export function atomsOfPeople(people: string): string {
  const asked = `SELECT arrayJoin(bitmapToArray((SELECT groupBitmapState(toUInt32(*)) FROM (${people}))))`;
  return `SELECT atom FROM (
    SELECT asked, asked AS atom FROM (${asked} AS asked)
    UNION ALL
    SELECT person AS asked, atom FROM person_atom WHERE person IN (${asked})
  ) WHERE person(atom) = asked`;
}
