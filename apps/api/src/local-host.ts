import { isIP } from "node:net";

/** Whether only this machine can reach what listens there. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

/**
 * A page on the web can make a browser ask a name of its own that leads to 127.0.0.1, and read the answer (DNS rebinding). Such a request carries that
 * name in `Host`, so what needs no password answers to local names only.
 */
export function isLocalHostHeader(host: string | undefined): boolean {
  if (host === undefined) return true; // HTTP/1.0: no browser
  const name = host
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  return isLoopback(name) || name.endsWith(".localhost");
}
