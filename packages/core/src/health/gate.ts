export interface Gate {
  /** Runs `work` as soon as the gate is open. */
  pass<T>(work: () => Promise<T>): Promise<T>;
  /** Waits for what is under way, and lets nothing begin until `work` has ended. One at a time; the next one waits for it. */
  shutWhile<T>(work: () => Promise<T>): Promise<T>;
  isShut(): boolean;
}

/** Finds a moment at which nothing that passes is half done. */
export function createGate(): Gate {
  const underWay = new Set<Promise<unknown>>();
  let shut: Promise<unknown> | undefined;

  return {
    async pass(work) {
      while (shut !== undefined) await shut;
      const running = work();
      const settled = running.catch(() => undefined);
      underWay.add(settled);
      try {
        return await running;
      } finally {
        underWay.delete(settled);
      }
    },
    async shutWhile(work) {
      while (shut !== undefined) await shut;
      const result = Promise.all(underWay).then(work);
      shut = result.catch(() => undefined);
      try {
        return await result;
      } finally {
        shut = undefined;
      }
    },
    isShut: () => shut !== undefined,
  };
}
