import fc from "fast-check";

/** The seed of every random test. A failure prints it too, with the path to the smallest case that fails. */
export const seed = 20_261_122;

let isPrinted = false;

/**
 * Runs the property on the same cases every time; throws what fast-check throws when it does not hold.
 * @param runs how many cases; 200 unless told.
 */
export function checkProperty<Values>(property: fc.IProperty<Values>, runs = 200): void {
  printSeed();
  fc.assert(property, { seed, numRuns: runs });
}

/** As {@link checkProperty}, for a property whose cases take time. */
export async function checkAsyncProperty<Values>(property: fc.IAsyncProperty<Values>, runs = 200): Promise<void> {
  printSeed();
  await fc.assert(property, { seed, numRuns: runs });
}

function printSeed(): void {
  if (!isPrinted) console.info(`Random tests run with the seed ${seed}.`);
  isPrinted = true;
}
