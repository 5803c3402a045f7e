import { runCli } from "./cli/run-cli.ts";
import { createTerminal } from "./cli/terminal.ts";

/** The command line on this process. Resolves with the exit code. */
export async function main(): Promise<number> {
  const { argv, env, stdin, stdout, stderr } = process;
  // `polder sql … | head` closes the pipe early, which is no failure.
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  return runCli(argv.slice(2), {
    terminal: createTerminal({ stdin, stdout, stderr, env }),
    env,
    cwd: process.cwd(),
    now: () => new Date(),
    onSignal(callback) {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, callback);
      return () => {
        for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, callback);
      };
    },
    exit: (code) => process.exit(code),
  });
}
