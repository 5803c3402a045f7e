import type { Comparison, NumberComparison, Scalar } from "@polder/core";
import type { Parameters } from "./parameters.ts";

// As JSON writes numbers. What has another form is a text: "12a", "0x10" and "inf" are no numbers.
const numberForm = "'^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$'";

/**
 * @returns an expression of type Nullable(Float64): a text that is no number has none, and neither has one beyond 10^15, so that whatever a visitor
 * sends no sum overflows: millionths of a billion such numbers fit into Int128.
 */
export function numberOf(text: string): string {
  const number = `toFloat64OrNull(if(match(${text}, ${numberForm}), ${text}, ''))`;
  return `if(abs(${number}) <= 1e15, ${number}, NULL)`;
}

const operators = { greaterThan: ">", atLeast: ">=", lessThan: "<", atMost: "<=" } as const;

/** @returns a condition on `text`, an expression of type String whose empty text says that there is no value. */
export function compileComparison(text: string, comparison: Comparison, parameters: Parameters): string {
  const terms = [...valueTerms(text, comparison, parameters)];
  if (comparison.exists !== undefined) terms.push(`${text} ${comparison.exists ? "!=" : "="} ''`);
  return `(${terms.join(" AND ")})`;
}

/** One of the texts in the list that fulfils all of it is enough; `exists: false` says that none of them is a value. */
export function compileListComparison(texts: string, comparison: Comparison, parameters: Parameters): string {
  const terms = [...valueTerms("item", comparison, parameters)];
  const any = (condition: string): string => `arrayExists(item -> ${condition}, ${texts})`;
  const conditions = terms.length === 0 ? [] : [any(terms.join(" AND "))];
  if (comparison.exists !== undefined) conditions.push(`${comparison.exists ? "" : "NOT "}${any("item != ''")}`);
  return `(${conditions.join(" AND ")})`;
}

function* valueTerms(text: string, comparison: Comparison, { bind }: Parameters): Generator<string> {
  const number = numberOf(text);
  const oneOf = (values: readonly Scalar[]): string => {
    const numbers = values.filter((value) => typeof value === "number");
    const texts = values.filter((value) => typeof value !== "number").map(String);
    const terms = [
      ...(texts.length === 1 ? [`${text} = ${bind(texts[0]!, "String")}`] : []),
      ...(texts.length > 1 ? [`has(${bind(texts, "Array(String)")}, ${text})`] : []),
      ...(numbers.length === 1 ? [`ifNull(${number} = ${bind(numbers[0]!, "Float64")}, 0)`] : []),
      ...(numbers.length > 1 ? [`ifNull(has(${bind(numbers, "Array(Float64)")}, ${number}), 0)`] : []),
    ];
    return terms.length === 1 ? terms[0]! : `(${terms.join(" OR ")})`;
  };
  const isThere = `${text} != ''`;

  if (comparison.is !== undefined) yield oneOf([comparison.is]);
  if (comparison.in !== undefined) yield oneOf(comparison.in);
  if (comparison.isNot !== undefined) yield `${isThere} AND NOT ${oneOf([comparison.isNot])}`;
  if (comparison.notIn !== undefined) yield `${isThere} AND NOT ${oneOf(comparison.notIn)}`;
  if (comparison.contains !== undefined) yield `position(${text}, ${bind(comparison.contains, "String")}) > 0`;
  if (comparison.startsWith !== undefined) yield `startsWith(${text}, ${bind(comparison.startsWith, "String")})`;
  if (comparison.endsWith !== undefined) yield `endsWith(${text}, ${bind(comparison.endsWith, "String")})`;
  for (const [name, operator] of Object.entries(operators)) {
    const bound = comparison[name as keyof typeof operators];
    if (bound !== undefined) yield `ifNull(${number} ${operator} ${bind(bound, "Float64")}, 0)`;
  }
}

/** @returns a condition on `number`, an expression of a number that is always there. */
export function compileNumberComparison(number: string, comparison: NumberComparison, { bind }: Parameters): string {
  const terms: string[] = [];
  const compare = (operator: string, bound: number | undefined): void => {
    if (bound !== undefined) terms.push(`${number} ${operator} ${bind(bound, "Float64")}`);
  };
  compare("=", comparison.is);
  compare("!=", comparison.isNot);
  for (const [name, operator] of Object.entries(operators))
    compare(operator, comparison[name as keyof typeof operators]);
  return `(${terms.join(" AND ")})`;
}

/** Whether zero fulfils it: then it is fulfilled by whoever has nothing to count, too. */
export function holdsForZero(comparison: NumberComparison): boolean {
  const { is, isNot, greaterThan, atLeast, lessThan, atMost } = comparison;
  return (
    (is === undefined || is === 0) &&
    (isNot === undefined || isNot !== 0) &&
    (greaterThan === undefined || greaterThan < 0) &&
    (atLeast === undefined || atLeast <= 0) &&
    (lessThan === undefined || lessThan > 0) &&
    (atMost === undefined || atMost >= 0)
  );
}
