/**
 * What is committed with an offset. It says all that a loader has to know to go on exactly as the one before it would have.
 */
export interface Intent {
  /** An intent: the records from the offset up to and including this one are being inserted as one range. */
  to?: number;
  /** The next free number of this partition's atoms when the range is begun (an atom is `number * 64 + partition`). */
  atom: number;
  /** The least number that is free after this range, where that is more than the range leaves. */
  floor?: number;
  /** Part of the tokens, so that rows which the table has lost are not taken for those it had under the same range. None at first. */
  epoch?: string;
  /** What is before this position is being loaded again; here it goes on as it was. */
  next?: Position;
}

export interface Position extends Intent {
  offset: number;
}

export function formatIntent({ to, atom, floor, epoch, next }: Intent): string {
  return JSON.stringify({ to, atom, floor, epoch, next });
}

/** Undefined when the text is not one of ours: the position was then set by other means, and the tables decide. */
export function parseIntent(metadata: string): Intent | undefined {
  try {
    return readIntent(JSON.parse(metadata));
  } catch {
    return undefined;
  }
}

function readIntent(value: unknown): Intent | undefined {
  const { to, atom, floor, epoch, next } = (value ?? {}) as { [name in keyof Position]?: unknown };
  if (!isNumber(atom)) return undefined;
  const intent: Intent = { atom };
  if (isNumber(to)) intent.to = to;
  if (isNumber(floor)) intent.floor = floor;
  if (typeof epoch === "string") intent.epoch = epoch;
  if (next === undefined) return intent;
  const { offset } = (next ?? {}) as { offset?: unknown };
  const rest = readIntent(next);
  if (!isNumber(offset) || rest === undefined) return undefined;
  intent.next = { offset, ...rest };
  return intent;
}

const isNumber = (value: unknown): value is number => Number.isSafeInteger(value);
