export interface StuckGuardOptions {
  /** Why the process should be started again, as `/livez` says it; undefined while it is alive. */
  problem: () => string | undefined | Promise<string | undefined>;
  /** What it needs and does not get: then a restart would help nothing. Nothing is when not given. */
  missing?: () => Promise<string | undefined>;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  /** How long the problem may last, seen at every look, with nothing missing. */
  withinMs: number;
  /** Ends the process at once: what is stuck would not let it end in good order. */
  end: (reason: string) => void;
}

/**
 * Ends a process that is stuck, for whoever starts it again: Docker restarts what ended, and nothing that is merely unhealthy. To be asked to
 * {@link StuckGuard.look} every few seconds.
 */
export interface StuckGuard {
  /** Never rejects. */
  look(): Promise<void>;
}

export function createStuckGuard(options: StuckGuardOptions): StuckGuard {
  const { problem, missing = () => undefined, clock, withinMs, end } = options;
  let since: number | undefined;
  // A question that fails is one to a process that ends, or has lost what it would ask: it says nothing.
  const ask = async (question: () => string | undefined | Promise<string | undefined>): Promise<string | undefined> => {
    try {
      return await question();
    } catch {
      return undefined;
    }
  };
  return {
    async look() {
      const reason = await ask(problem);
      const isHelpless = reason !== undefined && (await ask(missing)) !== undefined;
      if (reason === undefined || isHelpless) {
        since = undefined;
        return;
      }
      since ??= clock();
      if (clock() - since >= withinMs) end(reason);
    },
  };
}
