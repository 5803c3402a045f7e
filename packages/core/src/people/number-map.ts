/** Numbers from 1 to 2^32 - 1, by numbers from 1 to 2^32 - 1: in some sixteen bytes each, where a Map takes several times as many. */
export interface NumberMap {
  /** 0 where there is none. */
  get(key: number): number;
  set(key: number, value: number): void;
  size(): number;
  entries(): Iterable<[key: number, value: number]>;
}

export function createNumberMap(): NumberMap {
  let keys = new Uint32Array(1_024);
  let values = new Uint32Array(1_024);
  let size = 0;
  // Neighbouring numbers are spread, or those of one partition of the log would stand in one another's way.
  const slotOf = (key: number): number => {
    const mask = keys.length - 1;
    // Its upper bits, as many as there are places for.
    let slot = Math.imul(key, 0x9e37_79b1) >>> Math.clz32(mask);
    for (let at = keys[slot]!; at !== 0 && at !== key; at = keys[slot]!) slot = (slot + 1) & mask;
    return slot;
  };
  const grow = (): void => {
    const [oldKeys, oldValues] = [keys, values];
    keys = new Uint32Array(2 * oldKeys.length);
    values = new Uint32Array(2 * oldKeys.length);
    for (let slot = 0; slot < oldKeys.length; slot++) {
      if (oldKeys[slot] === 0) continue;
      const to = slotOf(oldKeys[slot]!);
      keys[to] = oldKeys[slot]!;
      values[to] = oldValues[slot]!;
    }
  };
  return {
    get: (key) => values[slotOf(key)]!,
    set(key, value) {
      if (2 * size >= keys.length) grow();
      const slot = slotOf(key);
      if (keys[slot] === 0) size++;
      keys[slot] = key;
      values[slot] = value;
    },
    size: () => size,
    *entries() {
      for (let slot = 0; slot < keys.length; slot++) if (keys[slot] !== 0) yield [keys[slot]!, values[slot]!];
    },
  };
}
