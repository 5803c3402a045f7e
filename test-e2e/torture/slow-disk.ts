import { execFileSync } from "node:child_process";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What makes the disk of a process slow. */
export interface SlowDisk {
  /** Of the process. */
  env: Record<string, string>;
  /** From now on, whatever makes bytes durable takes so much longer; 0: as ever. */
  slow(ms: number): void;
}

/** Compiles the library that does it. Undefined where that cannot be: no Linux, no C compiler. */
export function buildSlowDisk(folder: string): ((name: string) => SlowDisk) | undefined {
  if (process.platform !== "linux") return undefined;
  const library = join(folder, "slow-disk.so");
  const source = fileURLToPath(new URL("slow-disk.c", import.meta.url));
  try {
    execFileSync("cc", ["-shared", "-fPIC", "-O2", "-o", library, source], { stdio: "pipe" });
  } catch {
    return undefined;
  }
  return (name) => {
    const path = join(folder, `${name}.disk`);
    writeFileSync(path, Buffer.alloc(4));
    return {
      env: { LD_PRELOAD: library, POLDER_TORTURE_DISK: path },
      slow(ms) {
        const bytes = Buffer.alloc(4);
        bytes.writeInt32LE(Math.round(ms));
        // In place: the process has it mapped.
        const file = openSync(path, "r+");
        writeSync(file, bytes, 0, 4, 0);
        closeSync(file);
      },
    };
  };
}
