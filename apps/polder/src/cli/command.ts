import { parseArgs, type ParseArgsConfig } from "node:util";
import { messageOf, UsageError } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";

export interface CommandContext {
  terminal: Terminal;
  env: { readonly [name: string]: string | undefined };
  cwd: string;
  now: () => Date;
  /** Calls back on each SIGINT and SIGTERM; returns what ends it. */
  onSignal(callback: () => void): () => void;
  /** Ends the process on the spot. */
  exit(code: number): void;
  /** How long `start` waits for the loader when it ends, unless it is ten seconds. */
  drainWithinMs?: number;
}

export interface Command {
  name: string;
  summary: string;
  /** All that `--help` prints. */
  help: string;
  /** Resolves with the exit code. */
  run(args: readonly string[], context: CommandContext): Promise<number>;
}

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true; strict: true }>>;

/** node:util's parseArgs with its complaints as {@link UsageError}s. Every command takes `--help`, which is seen before it gets here. */
export function readFlags<const O extends Options>(
  args: readonly string[],
  options: O,
  { positionals: allowed = 0 } = {},
): Parsed<O> {
  let parsed: Parsed<O>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(`${messageOf(error).split(". ")[0]}.`);
  }
  const extra = parsed.positionals[allowed];
  if (extra !== undefined) throw new UsageError(`There is no place for “${extra}”.`);
  return parsed;
}
