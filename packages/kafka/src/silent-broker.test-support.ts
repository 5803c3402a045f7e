import { createServer, type Socket } from "node:net";
import kafkajs, { type Kafka } from "kafkajs";
import { retryPolicy } from "./client.ts";

/** A broker that hangs: connections are taken, nothing is ever answered. */
export interface SilentBroker {
  /** As ours is, with less patience. */
  client: Kafka;
  /** Connections by which anything was ever asked: one that this process noticed too late is given up before that, and dialled again. */
  dialled(): number;
  /** Resolves when no connection is left. */
  left(): Promise<unknown>;
  close(): Promise<void>;
}

export async function openSilentBroker(): Promise<SilentBroker> {
  const sockets = new Set<Socket>();
  let dialled = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("data", () => dialled++);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    client: new kafkajs.Kafka({
      brokers: [`127.0.0.1:${port}`],
      connectionTimeout: 50,
      requestTimeout: 50,
      enforceRequestTimeout: true,
      retry: retryPolicy,
      logLevel: kafkajs.logLevel.NOTHING,
    }),
    dialled: () => dialled,
    left: () => Promise.all([...sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve)))),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
