import { attempt, readLocal, writeLocal } from "./device-storage.ts";

export const traitsKey = "polder_traits";

/** FNV-1a, 32 bits. Enough to tell a value from the one before it, and it does not show what the value was. */
const hash = (text: string): number => {
  let sum = 0;
  for (const char of text) sum = Math.imul(sum ^ char.codePointAt(0)!, 16777619);
  return sum;
};

/**
 * The traits that differ from what this device told before, of which it keeps hashes, and what keeps them; undefined when nothing is new.
 * @param scope what they were told under: in another one all of them are new.
 */
export const changedTraits = (
  traits: object,
  scope: string,
): [changed: { [name: string]: unknown }, keep: () => void] | undefined => {
  let told = attempt(() => JSON.parse(readLocal(traitsKey)) as { [name: string]: unknown });
  const isNew = told?.[""] !== scope;
  if (isNew) told = { "": scope };
  const changed = Object.entries(traits).filter(
    ([name, value]) => told![name] !== (told![name] = hash(JSON.stringify(value) ?? "")),
  );
  if (isNew || changed[0]) return [Object.fromEntries(changed), () => writeLocal(traitsKey, JSON.stringify(told))];
};
