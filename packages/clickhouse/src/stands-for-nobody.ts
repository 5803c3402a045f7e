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
