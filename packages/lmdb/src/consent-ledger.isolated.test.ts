import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { createLmdbConsentLedger, type LmdbConsentLedger } from "./consent-ledger.ts";

const packageFolder = fileURLToPath(new URL("..", import.meta.url));
const logger = { info() {}, warn() {}, error() {} };

/** Says no to ads for one visitor after the other, several at a time, and says who when it has been confirmed. */
const refusing = `
import { createLmdbConsentLedger } from "@polder/lmdb";
import { gpcTimesOf } from "@polder/protocol";
import { writeSync } from "node:fs";
const [path, name] = process.argv.slice(1);
const ledger = createLmdbConsentLedger({ path, now: Date.now, logger: { info() {}, warn() {}, error() {} } });
let count = 0;
const refuse = async () => {
  for (;;) {
    const at = Date.now();
    const visitors = Array.from({ length: 1 + (count % 5) }, () => "shop:" + name + "-" + count++);
    const times = gpcTimesOf({ recordedAt: at, sentAt: at, receivedAt: at });
    await ledger.record(visitors.map((visitor) => ({ visitor, times })));
    writeSync(1, visitors.join(" ") + "\\n");
  }
};
await Promise.all([refuse(), refuse(), refuse()]);
`;

describe("several processes on one ledger", () => {
  let path: string;
  let ledger: LmdbConsentLedger;
  let children: ChildProcess[] = [];

  const start = (name: string) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", refusing, path, name], {
      cwd: packageFolder,
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    const confirmed: string[] = [];
    let look = () => {};
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    createInterface({ input: child.stdout }).on("line", (line) => {
      confirmed.push(...line.split(" "));
      look();
    });
    return {
      confirmed,
      until: (count: number) =>
        new Promise<void>((resolve, reject) => {
          look = () => void (confirmed.length >= count && resolve());
          look();
          void ended.then(() => reject(new Error(`the child ended after ${confirmed.length}`)));
        }),
      async kill() {
        child.kill("SIGKILL");
        await ended;
      },
    };
  };

  // Node 20 runs no TypeScript: children run the build, which is brought up to date first.
  beforeAll(() => {
    const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
    execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-b", packageFolder]);
  });
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), "polder-consent-"));
    ledger = createLmdbConsentLedger({ path, now: Date.now, logger });
  });
  afterEach(async () => {
    for (const child of children) child.kill("SIGKILL");
    children = [];
    await ledger.close();
    await rm(path, { recursive: true });
  });

  it("see each other's choices, and keep every confirmed one of a process that is killed", async () => {
    const confirmed: string[] = [];
    for (let life = 0; life < 4; life++) {
      const [first, second] = [start(`a${life}`), start(`b${life}`)];
      await Promise.all([first.until(200), second.until(200)]);
      const [known] = first.confirmed;
      await vi.waitUntil(() => ledger.latest(known!) !== undefined, { interval: 5, timeout: 120_000 });
      await Promise.all([first.kill(), second.kill()]);
      confirmed.push(...first.confirmed, ...second.confirmed);
    }
    await ledger.close();
    ledger = createLmdbConsentLedger({ path, now: Date.now, logger });
    expect(confirmed.filter((visitor) => ledger.latest(visitor)?.refused !== 32)).toEqual([]);
    expect(new Set(confirmed).size).toBe(confirmed.length);
  });
});
