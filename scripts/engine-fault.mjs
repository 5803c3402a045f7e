// @ts-check
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { root } from "./run-command.mjs";

/** Why the embedded database engine cannot run here, as a sentence; undefined when it can. */
export function engineFault() {
  const platform = `${process.platform}-${process.arch}${process.platform === "linux" ? "-gnu" : ""}`;
  try {
    const chdb = createRequire(join(root, "packages/engine/package.json")).resolve("chdb/package.json");
    createRequire(chdb).resolve(`@chdb/lib-${platform}/package.json`);
    return undefined;
  } catch {
    return `the embedded engine has no build for ${platform}`;
  }
}
