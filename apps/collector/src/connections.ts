import type { Server } from "node:http";
import type { Socket } from "node:net";

export type CutReason = "too_many" | "too_many_of_address" | "slow_sender" | "slow_reader";

export interface ConnectionOptions {
  /** Of all clients together. */
  maxConnections: number;
  /** Of one address, unless it is a proxy of ours. */
  maxConnectionsPerAddress: number;
  /** For a client to take what it was answered. */
  answerTimeoutMs: number;
  /** Whether an address is a proxy's, behind which many clients are. */
  isProxy: (address: string) => boolean;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  onCut: (reason: CutReason) => void;
}

/**
 * Holds the connections of a server to bounds that Node has no options for. Clients that are slow with headers or bodies are Node's
 * (`headersTimeout`, `requestTimeout`), as are idle ones (`keepAliveTimeout`).
 */
export function guardConnections(server: Server, options: ConnectionOptions): { count(): number; stop(): void } {
  const { maxConnections, maxConnectionsPerAddress, answerTimeoutMs, clock, onCut } = options;
  /** When an answer was first seen to wait for its client. */
  const stuckSince = new Map<Socket, number>();
  const sockets = new Set<Socket>();
  const ofAddress = new Map<string, number>();

  let roomMadeAt = Number.NEGATIVE_INFINITY;

  /** Who is only waiting makes room for who wants to send. */
  function makeRoom(): void {
    // Looks at every connection: not for each one that comes.
    if (sockets.size <= maxConnections * 0.9 || clock() < roomMadeAt + 1000) return;
    roomMadeAt = clock();
    server.closeIdleConnections();
  }

  server.maxConnections = maxConnections;
  server.on("drop", () => onCut("too_many"));
  server.on("connection", (socket) => {
    // Known as long as the socket is open only.
    const address = socket.remoteAddress ?? "";
    const open = (ofAddress.get(address) ?? 0) + 1;
    if (open > maxConnectionsPerAddress && !options.isProxy(address)) {
      onCut("too_many_of_address");
      socket.destroy();
      return;
    }
    ofAddress.set(address, open);
    sockets.add(socket);
    // Node cuts those itself, and answers 408 where it can. Listening for `clientError` of the server would make that ours to do.
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") onCut("slow_sender");
    });
    makeRoom();
    socket.once("close", () => {
      sockets.delete(socket);
      stuckSince.delete(socket);
      const left = ofAddress.get(address)! - 1;
      if (left === 0) ofAddress.delete(address);
      else ofAddress.set(address, left);
    });
  });

  // The kernel holds what is answered usually; what it does not take stays on our heap until the client reads.
  const sweep = setInterval(() => {
    const now = clock();
    for (const socket of sockets) {
      if (socket.writableLength === 0) stuckSince.delete(socket);
      else if (!stuckSince.has(socket)) stuckSince.set(socket, now);
      else if (now - stuckSince.get(socket)! >= answerTimeoutMs) {
        onCut("slow_reader");
        socket.destroy();
      }
    }
  }, answerTimeoutMs / 4);
  sweep.unref();

  return { count: () => sockets.size, stop: () => clearInterval(sweep) };
}
