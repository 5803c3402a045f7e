import type { ObjectShape } from "./shape.ts";

export type Scalar = string | number | boolean;

/** What a value must be. All that is stated holds. A value that is not there fulfils `exists: false` and nothing else. */
export interface Comparison {
  is?: Scalar;
  isNot?: Scalar;
  in?: readonly Scalar[];
  notIn?: readonly Scalar[];
  contains?: string;
  startsWith?: string;
  endsWith?: string;
  greaterThan?: number;
  atLeast?: number;
  lessThan?: number;
  atMost?: number;
  exists?: boolean;
}

/** Of a number that is always there. */
export type NumberComparison = Pick<Comparison, "greaterThan" | "atLeast" | "lessThan" | "atMost"> & {
  is?: number;
  isNot?: number;
};

const maxItems = 1_000;
/** A server takes 128 KiB of one value of a statement. */
const maxListLength = 30_000;
const maxTextLength = 1_000;
const text = { type: "text", maxLength: maxTextLength, isNotEmpty: true } as const;
const number = { type: "number", min: -1e15, max: 1e15 } as const;
const scalar = { type: "scalar", maxLength: maxTextLength } as const;

const scalars = {
  type: "list",
  min: 1,
  max: maxItems,
  of: { ...scalar, about: "A value." },
  check: (items: readonly unknown[]) =>
    items.reduce<number>((length, item) => length + String(item).length, 0) > maxListLength
      ? `has more than ${maxListLength} characters in all: use a trait or a property that says the same in fewer values.`
      : undefined,
} as const;

const numberFields = {
  greaterThan: { ...number, about: "More than this number." },
  atLeast: { ...number, about: "This number or more." },
  lessThan: { ...number, about: "Less than this number." },
  atMost: { ...number, about: "This number or less." },
} as const;

/** Beside what is compared, as in `{"trait": "plan", "is": "premium"}`. */
export const comparisonFields: ObjectShape["fields"] = {
  is: { ...scalar, about: "Equal to this. Texts compare letter by letter, numbers as numbers." },
  isNot: { ...scalar, about: "There, and not equal to this." },
  in: { ...scalars, about: "Equal to one of these." },
  notIn: { ...scalars, about: "There, and equal to none of these." },
  contains: { ...text, about: "Holds this text. Capitals count." },
  startsWith: { ...text, about: "Begins with this text. Capitals count." },
  endsWith: { ...text, about: "Ends with this text. Capitals count." },
  ...numberFields,
  exists: { type: "boolean", about: "true: there is a value. false: there is none." },
};

export const numberComparisonFields: ObjectShape["fields"] = {
  is: { ...number, about: "Exactly this number." },
  isNot: { ...number, about: "Any other number." },
  ...numberFields,
};

export const numberComparisonShape: ObjectShape = {
  type: "object",
  name: "numberComparison",
  about: "What a number must be. All that is stated holds.",
  fields: numberComparisonFields,
  needsOneOf: Object.keys(numberComparisonFields),
};

export const comparisonShape: ObjectShape = {
  type: "object",
  name: "comparison",
  about: "What a value must be. All that is stated holds.",
  fields: comparisonFields,
  needsOneOf: Object.keys(comparisonFields),
};

export const comparisonNames = Object.keys(comparisonFields);
