// Loaded before a process of ours by `--import`: its clock is off by as many milliseconds as the file says, and jumps when the file changes.
import { readFileSync } from "node:fs";

const path = process.env.POLDER_TEST_CLOCK ?? "";
const MachineDate = Date;
let aheadMs = 0;

function look() {
  try {
    const text = readFileSync(path, "utf8");
    // Empty: it is being written.
    if (text !== "") aheadMs = Number(text) || 0;
  } catch {
    // Not there yet.
  }
}
look();
setInterval(look, 100).unref();

globalThis.Date = class extends MachineDate {
  constructor(...given) {
    if (given.length === 0) super(MachineDate.now() + aheadMs);
    else super(...given);
  }
  static now() {
    return MachineDate.now() + aheadMs;
  }
};
