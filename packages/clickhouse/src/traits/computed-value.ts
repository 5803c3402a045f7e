import { defaultMost, type ComputedTrait } from "@polder/core";
import { numberOf } from "../audiences/compile-comparison.ts";
import type { Parameters } from "../audiences/parameters.ts";

/** Expressions on rows of events, of which an order is one however often it was sent. */
export interface ValueRows {
  /** What the value is made of; empty where there is none. */
  text: string;
  /** Money of the event, as Decimal(38, 4). */
  money: string;
  time: string;
  /** Which of two of one moment came first. */
  place: string;
  /** Which of the rows it is about. Absent: all of them, and there is at least one. */
  isIn?: string;
}

/** What `compute` makes of rows, as an aggregate of type String or Nullable(String): empty text where there is no value. */
export function computedValue(
  { compute, currency, most = defaultMost }: ComputedTrait,
  { text, money, time, place, isIn }: ValueRows,
  now: Date,
  { bind }: Parameters,
): string {
  const when = (condition?: string): string | undefined =>
    isIn === undefined ? condition : condition === undefined ? isIn : `${isIn} AND ${condition}`;
  const of = (aggregate: string, values: string, condition = when()): string =>
    condition === undefined
      ? `${aggregate}(${values})`
      : `${aggregate}If(${[values, condition].filter((one) => one !== "").join(", ")})`;
  const ifAny = (value: string): string => (isIn === undefined ? value : `if(${of("count", "")} = 0, '', ${value})`);
  const number = numberOf(text);
  const numbers = of("count", "", when(`isNotNull(${number})`));
  const ofNumbers = (value: string): string => `if(${numbers} = 0, '', toString(${value}))`;
  // Whole numbers add up to the same whatever the order; fractions of floating point do not.
  const sumOfNumbers = `toFloat64(${of("sum", `toInt128(round(ifNull(${number}, 0) * 1000000))`)}) / 1000000`;
  const hasText = when(`${text} != ''`);
  // Two events of one moment and offset, from two partitions, are told apart by what they say.
  const moment = `(${time}, ${place}, ${text})`;
  const sumOfMoney = ifAny(`toString(${of("sum", money)})`);
  switch (compute) {
    case "count":
      return ifAny(`toString(${of("count", "")})`);
    case "days_since":
      // A client whose clock is ahead by a little says that it is tomorrow.
      return ifAny(
        `toString(greatest(0, intDiv(${bind(now.getTime(), "Int64")} - toUnixTimestamp64Milli(${of("max", time)}), 86400000)))`,
      );
    case "lifetime_value":
      return sumOfMoney;
    case "sum":
      return currency === undefined ? ofNumbers(sumOfNumbers) : sumOfMoney;
    case "average":
      return ofNumbers(`${sumOfNumbers} / ${numbers}`);
    case "min":
    case "max":
      return ofNumbers(of(compute, number));
    case "first":
      return of("argMin", `${text}, ${moment}`, hasText);
    case "last":
      return of("argMax", `${text}, ${moment}`, hasText);
    case "most_frequent": {
      // Of several that are as frequent, the first by its bytes: the keys are in their order.
      const times = of("sumMap", `[${text}], [toUInt64(1)]`, hasText);
      return `(${times}).1[indexOf((${times}).2, arrayMax((${times}).2))]`;
    }
    case "unique_list":
      return `if(${of("count", "", hasText)} = 0, '', toJSONString(arraySlice(arraySort(${of("groupUniqArray", text, hasText)}), 1, ${bind(most, "UInt64")})))`;
  }
}
