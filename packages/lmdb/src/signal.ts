/** Wakes everyone who waits; who does not wait misses it, so look at the state first and wait after. */
export interface Signal {
  notify(): void;
  /** Resolves at the next {@link notify}, or after `ms` at the latest where they are given. */
  wait(ms?: number): Promise<undefined>;
}

export function createSignal(): Signal {
  const waiting = new Set<() => void>();
  return {
    notify() {
      for (const wake of waiting) wake();
    },
    wait: (ms) =>
      new Promise((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve(undefined);
        };
        const timer = ms === undefined ? undefined : setTimeout(wake, ms);
        waiting.add(wake);
      }),
  };
}
