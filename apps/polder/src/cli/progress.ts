import type { Terminal } from "./terminal.ts";

export interface Progress {
  /** Shows that the work goes on, and how long it took. `say` adds a word about how far it is. */
  step<T>(label: string, work: (say: (note: string) => void) => Promise<T>): Promise<T>;
}

const redrawEveryMs = 100;
const quickMs = 1_000;

/** On a terminal one line a step that counts; elsewhere one line when a step is done. */
export function createProgress(terminal: Terminal, now: () => Date): Progress {
  const { colours } = terminal;
  return {
    async step(label, work) {
      const startedAt = now().getTime();
      let note = "";
      const elapsed = (): string => `${((now().getTime() - startedAt) / 1000).toFixed(1)} s`;
      const tail = (): string => colours.dim(`${note === "" ? "" : `${note}, `}${elapsed()}`);
      const draw = (): void => terminal.redraw(`  ${colours.cyan("…")} ${label}  ${tail()}`);
      draw();
      const timer = setInterval(draw, redrawEveryMs);
      const finish = (mark: string): void => {
        clearInterval(timer);
        terminal.redraw("");
        const isWorthSaying = note !== "" || now().getTime() - startedAt >= quickMs;
        terminal.out(`  ${mark} ${label}${isWorthSaying ? `  ${tail()}` : ""}`);
      };
      try {
        const result = await work((text) => {
          note = text;
        });
        finish(colours.green("✓"));
        return result;
      } catch (error) {
        finish(colours.red("✗"));
        throw error;
      }
    },
  };
}
