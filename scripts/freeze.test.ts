import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { afterEach, describe, expect, it } from "vitest";
import { freeze, standsStill } from "./freeze.mjs";

describe.skipIf(process.platform === "win32")("freezing a process", () => {
  const started: ChildProcess[] = [];
  afterEach(() => {
    for (const child of started.splice(0)) child.kill("SIGKILL");
  });

  /** Keeps several threads at work, so that there is always one to be interrupted. */
  async function startBusy(): Promise<ChildProcess & { pid: number }> {
    const script = `
      const { Worker } = require("node:worker_threads");
      for (let count = 0; count < 4; count += 1) new Worker("for (;;) Math.random()", { eval: true });
      setInterval(() => console.log("."), 1);`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    started.push(child);
    await once(child.stdout, "data");
    return child as ChildProcess & { pid: number };
  }

  it("is done when every thread of it stands still, not when it was asked to", async () => {
    const child = await startBusy();
    for (let round = 0; round < 20; round += 1) {
      await freeze(child.pid);
      expect(await standsStill(child.pid)).toBe(true);
      child.kill("SIGCONT");
      await once(child.stdout!, "data");
    }
  });

  it("is done with one that ends meanwhile", async () => {
    const child = await startBusy();
    child.kill("SIGKILL");
    await freeze(child.pid);
    expect(await standsStill(child.pid)).toBe(true);
  });
});
