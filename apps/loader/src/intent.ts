/**
 * What is committed with an offset. `to` set: an intent, the records from the offset up to and including `to` are being inserted as one range.
 * `atom`: the next free number of this partition's atoms when the range is begun (an atom is `number * 64 + partition`).
 */
export interface Intent {
  to?: number;
  atom: number;
}

export const formatIntent = (intent: Intent): string => JSON.stringify(intent);

/** Undefined when the text is not one of ours: the position was then set by other means, and the tables decide. */
export function parseIntent(metadata: string): Intent | undefined {
  try {
    const value = JSON.parse(metadata) as Partial<Intent> | null;
    if (!Number.isSafeInteger(value?.atom)) return undefined;
    return Number.isSafeInteger(value?.to) ? { to: value!.to!, atom: value!.atom! } : { atom: value!.atom! };
  } catch {
    return undefined;
  }
}
