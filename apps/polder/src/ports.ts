import { createServer } from "node:net";
import { codeOf, CommandError, messageOf } from "./cli/exit-code.ts";
import { parts, type Part, type Ports } from "./settings.ts";

/**
 * Tries all of them before anything is started, so that a taken port is told at once and not after the engine is up.
 * @throws {CommandError} naming the first that cannot be had.
 */
export async function assertPortsFree({
  host,
  ports,
  needed,
}: {
  host: string;
  ports: Ports;
  needed: readonly Part[];
}): Promise<void> {
  for (const part of needed)
    await tryPort(host, ports[part]).catch((error: unknown) =>
      Promise.reject(portError(part, ports[part], host, error)),
    );
}

/** What to tell when `part` cannot listen. */
export function portError(part: Part, port: number, host: string, error: unknown): Error {
  const { name, flag, variable } = parts.find((known) => known.part === part)!;
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return new CommandError(
        `Port ${port} is taken, so ${name} cannot start. Stop what uses it, or choose another with --${flag} or ${variable}.`,
      );
    case "EACCES":
      return new CommandError(
        `Port ${port} may not be used by this user, so ${name} cannot start. Choose one above 1023 with --${flag} or ${variable}.`,
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new CommandError(
        `${host} is not an address of this machine. Choose another with --host or POLDER_HOST; 0.0.0.0 is all of them.`,
      );
    case undefined:
      // A refusal in words, as of a host that would open personal data to everybody.
      return new CommandError(`${messageOf(error)}.`);
    default:
      return new CommandError(`${name} cannot listen on ${host}:${port}: ${messageOf(error)}.`);
  }
}

const tryPort = (host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, host, () => server.close(() => resolve()));
  });
