import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

/** Starts a server of ours in a process of its own, so that its CPU can be told from the load's. The module sends `{ url }` when it listens. */
export async function startServer(module, args = []) {
  const child = fork(new URL(module, import.meta.url), args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [message] = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([code]) => {
      throw new Error(`${module} ended with ${code} before it listened`);
    }),
  ]);
  return {
    url: message.url,
    pid: child.pid,
    async stop() {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    },
  };
}

/** What a module of ours answers that runs in a process of its own and ends after it has sent one message. */
export async function askChild(module, args = []) {
  const child = fork(new URL(module, import.meta.url), args, {
    execArgv: ["--expose-gc"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const answered = once(child, "message");
  const ended = once(child, "exit");
  const [message] = await Promise.race([
    answered,
    ended.then(([code]) => {
      throw new Error(`${module} ended with ${code} before it answered`);
    }),
  ]);
  await ended;
  return message;
}

/** User and system CPU of a process in milliseconds, children that it waited for included. */
export function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  const ticksPerSecond = 100; // USER_HZ on Linux
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

/** Resident memory of a process in bytes: its own, and that of files it has mapped (the embedded log), which the kernel takes back when it needs to. */
export function residentBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)[1]) * 1024;
  return { own: field("RssAnon") + field("RssShmem"), mapped: field("RssFile") };
}
