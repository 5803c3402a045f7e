/** What the command line ends with. `interrupted` is what shells expect after Ctrl-C. */
export const exitCode = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** Expected: the person at the terminal can do something about it. Printed without a stack. */
export class CommandError extends Error {
  readonly exitCode: number = exitCode.failed;
}

/** The command was not written as it should be. */
export class UsageError extends CommandError {
  override readonly exitCode = exitCode.usage;
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
