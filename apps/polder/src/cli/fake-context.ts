import picocolors from "picocolors";
import type { CommandContext } from "./command.ts";

export interface FakeContext extends CommandContext {
  /** All that was printed. */
  printed(): string;
  complained(): string;
  /** As if Ctrl-C had been pressed. */
  interrupt(): void;
  /** Resolves once something that was printed matches. */
  sees(pattern: RegExp): Promise<RegExpExecArray>;
  exits: number[];
}

/** A terminal without a terminal, for tests. `answers` are typed in turn; without them nobody is there to ask. */
export function createFakeContext(options: {
  cwd: string;
  env?: CommandContext["env"];
  answers?: string[];
  input?: string;
}): FakeContext {
  let [out, err] = ["", ""];
  const callbacks = new Set<() => void>();
  const watchers = new Set<() => void>();
  const exits: number[] = [];
  const answers = [...(options.answers ?? [])];
  const print = (text: string): void => {
    out += text;
    for (const watch of watchers) watch();
  };
  return {
    cwd: options.cwd,
    env: options.env ?? {},
    now: () => new Date(),
    onSignal(callback) {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
    exit: (code) => void exits.push(code),
    terminal: {
      colours: picocolors.createColors(false),
      isInteractive: options.answers !== undefined,
      isOutputTerminal: false,
      out: (line = "") => print(`${line}\n`),
      err: (line) => {
        err += `${line}\n`;
      },
      write: (text) => print(typeof text === "string" ? text : Buffer.from(text).toString("utf8")),
      redraw: () => undefined,
      async ask(question, proposal) {
        const answer = answers.shift();
        // A question that comes again and again would hang the test.
        if (answer === undefined) throw new Error(`nobody answers: ${question}`);
        return answer || proposal;
      },
      readInput: async () => options.input ?? "",
    },
    printed: () => out,
    complained: () => err,
    interrupt: () => {
      for (const callback of callbacks) callback();
    },
    sees: (pattern) =>
      new Promise((resolve) => {
        const watch = (): void => {
          const found = pattern.exec(out);
          if (found === null) return;
          watchers.delete(watch);
          resolve(found);
        };
        watchers.add(watch);
        watch();
      }),
    exits,
  };
}
