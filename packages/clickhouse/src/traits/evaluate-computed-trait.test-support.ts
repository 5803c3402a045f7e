import { computedTraitType, type ComputedTrait } from "@polder/core";
import {
  fits,
  happeningsOf,
  hasHappened,
  isIn,
  isNamed,
  numberOf,
  propertyTexts,
  type Happening,
  type World,
} from "../audiences/evaluate-audience.test-support.ts";

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** What a computed trait is of everybody who has one, by reading the events of one person after another. It shares no code with what makes statements. */
export function evaluateComputedTrait(
  definition: ComputedTrait,
  world: Pick<World, "site" | "now" | "events" | "personOf">,
): Map<number, string | number | string[]> {
  const ofPeople = new Map<number, (typeof world.events)[number][]>();
  for (const row of world.events.filter((each) => hasHappened(each, world.now))) {
    const person = row.site === world.site && row.bot === "" && row.atom !== 0 ? world.personOf(row.atom) : 0;
    if (person !== 0) ofPeople.set(person, [...(ofPeople.get(person) ?? []), row]);
  }
  const values = new Map<number, string | number | string[]>();
  for (const [person, rows] of ofPeople) {
    const value = valueOf(definition, happeningsOf(rows), world.now);
    if (value !== undefined) values.set(person, value);
  }
  return values;
}

function valueOf(
  { compute, event, where, within, of, currency, most = 100 }: ComputedTrait,
  happenings: readonly Happening[],
  now: number,
): string | number | string[] | undefined {
  const matching = happenings.filter(
    (each) =>
      isNamed(compute === "lifetime_value" ? ["Order Completed", "Order Refunded"] : (event ?? []), each) &&
      (within === undefined || isIn(within, each, { now })) &&
      (currency === undefined || each.row.currency === currency) &&
      fits(where, each),
  );
  if (matching.length === 0) return undefined;
  if (compute === "count") return matching.length;
  if (compute === "days_since") return Math.max(0, Math.floor((now - matching.at(-1)!.time) / 86_400_000));
  const amounts = matching.map(({ amount }) => BigInt(Math.round(amount * 10_000)));
  if (compute === "lifetime_value" || (compute === "sum" && currency !== undefined))
    return Number(amounts.reduce((sum, amount) => sum + amount, 0n)) / 10_000;

  const textOf = ({ row, amount }: Happening): string => {
    if (of === undefined) return "";
    if ("property" in of) return propertyTexts(row, of.property)[0] ?? "";
    return of.column === "amount" ? (row.currency === "" ? "" : String(amount)) : row[of.column];
  };
  const texts = matching.map(textOf).filter((text) => text !== "");
  if (computedTraitType({ compute }) === "number") {
    const numbers = texts.map(numberOf).filter((number) => number !== undefined);
    if (numbers.length === 0) return undefined;
    if (compute === "min") return Math.min(...numbers);
    if (compute === "max") return Math.max(...numbers);
    const sum = Number(numbers.reduce((total, each) => total + BigInt(Math.round(each * 1_000_000)), 0n)) / 1_000_000;
    return compute === "sum" ? sum : sum / numbers.length;
  }
  if (texts.length === 0) return undefined;
  if (compute === "first") return texts[0];
  if (compute === "last") return texts.at(-1);
  const unique = [...new Set(texts)].toSorted(byBytes);
  if (compute === "unique_list") return unique.slice(0, most);
  const times = (text: string): number => texts.filter((each) => each === text).length;
  return unique.reduce((best, text) => (times(text) > times(best) ? text : best));
}
