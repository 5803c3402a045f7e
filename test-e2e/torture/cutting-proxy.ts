import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import type { Random } from "./random.ts";

/** Between clients and a part: hands everything on, until it is told to cut. */
export interface CuttingProxy {
  url: string;
  /** Resets every connection that is open, and for so long every new one at a moment of its own: before, within or after a request. */
  cutFor(ms: number): void;
  /** How many were reset. */
  cuts(): number;
  heal(): void;
  close(): Promise<void>;
}

export async function startCuttingProxy(port: number, random: Random): Promise<CuttingProxy> {
  const open = new Set<Socket>();
  let cutUntil = 0;
  let cuts = 0;

  const server = createServer((client) => {
    const part = connect(port, "127.0.0.1");
    open.add(client);
    const end = (): void => {
      open.delete(client);
      client.destroy();
      part.destroy();
    };
    const cut = (): void => {
      cuts++;
      open.delete(client);
      client.resetAndDestroy();
      part.resetAndDestroy();
    };
    for (const socket of [client, part]) socket.on("error", end).on("close", end);
    // So many bytes to the part, or so many back, and it is over.
    let left = performance.now() < cutUntil ? random.whole(0, 4_000) : Number.POSITIVE_INFINITY;
    let leftBack = performance.now() < cutUntil && random.isIn(0.5) ? 0 : Number.POSITIVE_INFINITY;
    const pass = (to: Socket, chunk: Buffer, isBack: boolean): void => {
      const most = isBack ? leftBack : left;
      if (isBack) leftBack -= chunk.length;
      else left -= chunk.length;
      if (most >= chunk.length) to.write(chunk);
      else to.write(chunk.subarray(0, most), cut);
    };
    client.on("data", (chunk) => pass(part, chunk, false));
    part.on("data", (chunk) => pass(client, chunk, true));
    client.once("cut", cut);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cutFor(ms) {
      cutUntil = performance.now() + ms;
      for (const socket of open) socket.emit("cut");
    },
    cuts: () => cuts,
    heal: () => void (cutUntil = 0),
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
