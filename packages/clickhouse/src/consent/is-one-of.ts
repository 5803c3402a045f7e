/**
 * Whether a person is one of these: `isOneOf(subquery)(column)`. As a scalar, which ClickHouse works out once for a whole query however often it is named;
 * `IN (subquery)` is worked out at each place.
 */
export const isOneOf =
  (people: string): ((person: string) => string) =>
  (person) =>
    `bitmapContains((SELECT groupBitmapState(toUInt32(*)) FROM (${people})), ${person})`;
