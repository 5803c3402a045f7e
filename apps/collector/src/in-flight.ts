/** What has been let in and not answered yet. Past a bound nothing more is: a client can wait, a full heap cannot. */
export interface InFlight {
  tryEnter(bytes: number): boolean;
  leave(bytes: number): void;
  requests(): number;
  bytes(): number;
  /** Resolves when nobody is in. */
  empty(): Promise<void>;
}

export function createInFlight(limits: { maxRequests: number; maxBytes: number }): InFlight {
  let requests = 0;
  let bytes = 0;
  let waiting: (() => void)[] = [];
  return {
    tryEnter(added) {
      if (requests >= limits.maxRequests || (bytes + added > limits.maxBytes && requests > 0)) return false;
      requests++;
      bytes += added;
      return true;
    },
    leave(gone) {
      requests--;
      bytes -= gone;
      if (requests > 0) return;
      const resolvers = waiting;
      waiting = [];
      for (const resolve of resolvers) resolve();
    },
    requests: () => requests,
    bytes: () => bytes,
    empty: () => (requests === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}
