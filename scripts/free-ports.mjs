// @ts-check
import { createServer } from "node:net";

// Below what systems give to whoever asks for any port, and above the addresses that browsers refuse to open.
const first = 12_000;
const last = 32_000;

/** Of this process: none is given twice, so that a part that is away finds its port again. */
const given = new Set();

/**
 * Ports of 127.0.0.1 that stay free while whoever has them is started, killed and started again: no other test that asks for any port is given one of
 * them.
 * @param {number} count
 * @returns {Promise<number[]>}
 */
export async function freePorts(count) {
  /** @type {number[]} */
  const ports = [];
  while (ports.length < count) {
    if (given.size > last - first) throw new Error(`no port from ${first} to ${last} is free`);
    const port = first + Math.floor(Math.random() * (last - first));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
const isFree = (port) =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
