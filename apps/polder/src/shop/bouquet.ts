/** The bouquet designer's price list; the page gets it as JSON, so both sides add up the same. */
export const stems = [
  { id: "tulip", name: "Dike Red tulip", cents: 95, colour: "#d8453a", start: 5 },
  { id: "night", name: "Night Barge tulip", cents: 115, colour: "#5c2c58", start: 3 },
  { id: "narcissus", name: "Morning Mist narcissus", cents: 80, colour: "#f3e8cf", start: 4 },
  { id: "hyacinth", name: "Ditch Blue hyacinth", cents: 60, colour: "#4c63b6", start: 3 },
] as const;

export const wraps = [
  { id: "kraft", name: "Brown paper", cents: 0, colour: "#b98b52" },
  { id: "sailcloth", name: "Sailcloth", cents: 450, colour: "#e7dfca" },
  { id: "delft", name: "Blue tissue", cents: 250, colour: "#3a5fa8" },
] as const;

export const maxStems = 12;
export const bouquetSteps = ["stems", "wrap", "card"] as const;

/** A bouquet in a cart is its recipe: `bouquet-5-3-4-3-kraft`, stems in the order above. Undefined for any other text. */
export function bouquetOf(recipe: string): { name: string; cents: number } | undefined {
  const match = /^bouquet-(\d{1,2})-(\d{1,2})-(\d{1,2})-(\d{1,2})-([a-z]+)$/.exec(recipe);
  const wrap = wraps.find(({ id }) => id === match?.[5]);
  if (!match || !wrap) return undefined;
  const counts = match.slice(1, 5).map(Number);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0 || counts.some((count) => count > maxStems)) return undefined;
  let { cents }: { cents: number } = wrap;
  stems.forEach((stem, index) => (cents += stem.cents * (counts[index] ?? 0)));
  return { name: `Bouquet of ${total} ${total === 1 ? "stem" : "stems"}`, cents };
}
