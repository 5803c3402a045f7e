import { builtInBlocked } from "@polder/core";

const space = "[\\\\s\\\\v\\\\p{Z}\\\\x{FEFF}]+";
const builtIn = builtInBlocked.map((value) => `'${value}'`).join(", ");

/** An id as blocked values are compared: trimmed, in small letters. */
export const plainId = (column: string): string => `lowerUTF8(replaceRegexpAll(${column}, '^${space}|${space}$', ''))`;

/** As `createBlockedCheck` of the core has the built-in values: whether an id stands for nobody, or is none. A test compares the two. */
export const standsForNobody = (column: string): string => {
  const plain = plainId(column);
  return `(${plain} IN (${builtIn}) OR match(${plain}, '^[0-]*0[0-]*$') OR startsWith(${plain}, 'test@'))`;
};

const capital = (value: string): string => value.slice(0, 1).toUpperCase() + value.slice(1);
const spellings = new Set(
  [...builtInBlocked, "NaN", "[object Object]", "00000000-0000-0000-0000-000000000000"].flatMap((value) => [
    value,
    value.toUpperCase(),
    capital(value),
  ]),
);

/** As {@link standsForNobody} of a hash of a user id, where it alone is left: of the usual spellings. */
export const isNobodysHash = (column: string): string =>
  `${column} IN (${[...spellings].map((value) => `cityHash64('${value}')`).join(", ")})`;

/** By site, the values that stand for nobody there besides the built-in ones. */
export type BlockedOfSites = ReadonlyMap<string, { readonly blocked: readonly string[] }>;

/** As {@link standsForNobody}, with the values of each site: in `{blocked: Array(String)}`, which is {@link blockedValues}. */
export const isNobodyAt = (site: string, column: string): string =>
  `(${standsForNobody(column)} OR concat(${site}, '\\0', ${plainId(column)}) IN {blocked: Array(String)})`;
export const blockedValues = (rules: BlockedOfSites): string[] =>
  [...rules].flatMap(([site, { blocked }]) => blocked.map((value) => `${site}\0${value.trim().toLowerCase()}`));
