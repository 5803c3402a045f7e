import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { askControl, serveControl, type Control } from "./control.ts";

let folder = "";
let control: Control | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polder-control-"));
});
afterEach(async () => {
  await control?.close();
  control = undefined;
  await rm(folder, { recursive: true, force: true });
});

it("carries a command to the process that has the folder, with its notes and its answer", async () => {
  control = await serveControl(folder, {
    async backup(given, say) {
      say("one");
      say("two\nlines");
      return { given };
    },
  });
  const notes: string[] = [];
  const answer = await askControl(folder, "backup", { to: "/somewhere" }, (note) => notes.push(note));
  expect(answer).toEqual({ given: { to: "/somewhere" } });
  expect(notes).toEqual(["one", "two\nlines"]);
});

it("tells why it failed, and that nobody answers", async () => {
  control = await serveControl(folder, { backup: () => Promise.reject(new Error("the disk is full")) });
  await expect(askControl(folder, "backup", {}, () => {})).rejects.toThrow("the disk is full");
  await expect(askControl(folder, "unknown", {}, () => {})).rejects.toThrow("did not carry out unknown");
  await control.close();
  control = undefined;
  await expect(askControl(folder, "backup", {}, () => {})).rejects.toThrow("Look into polder.log");
});

it("lets a command end before it closes, and leaves no socket behind", async () => {
  let end = (): void => undefined;
  const begun = new Promise<void>((resolve) => {
    void serveControl(folder, {
      backup: () => {
        resolve();
        return new Promise((done) => (end = () => done("done")));
      },
    }).then((served) => (control = served));
  });
  await expect.poll(() => control, { timeout: 120_000 }).toBeDefined();
  const asked = askControl(folder, "backup", {}, () => {});
  await begun;
  const closed = control!.close();
  end();
  expect(await asked).toBe("done");
  await closed;
  control = undefined;
  expect(existsSync(join(folder, "polder.sock"))).toBe(false);
});

it("takes the place of a socket that a killed process left, and refuses a path that is too long", async () => {
  await writeFile(join(folder, "polder.sock"), "");
  control = await serveControl(folder, { backup: async () => 1 });
  expect(await askControl(folder, "backup", {}, () => {})).toBe(1);
  await expect(serveControl(join(folder, "x".repeat(100)), {})).rejects.toThrow("too long for a socket");
});
