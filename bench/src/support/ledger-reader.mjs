import { createLmdbConsentLedger } from "@polder/lmdb";
import { residentBytes } from "./child-server.mjs";
import { visitorId } from "./events.mjs";
import { quiet } from "./temporary-folder.mjs";

// What a process holds of a ledger after it has looked up every visitor in it: its own memory, and pages of the file.
const [path, count] = process.argv.slice(2);
const ledger = createLmdbConsentLedger({ path, now: () => Date.now(), logger: quiet });
const look = async (times, visitorOf) => {
  for (let n = 0; n < times; n++) {
    if (ledger.latest(`bench:${visitorId(visitorOf(n))}`) === undefined)
      throw new Error(`visitor ${visitorOf(n)} is not in the ledger`);
    if (n % 100 === 0) await new Promise(setImmediate);
  }
};
// What the code itself takes is not the visitors': one of them is on a few pages of the file.
await look(100_000, () => 0);
globalThis.gc();
const before = residentBytes(process.pid);
await look(Number(count), (n) => n);
globalThis.gc();
const after = residentBytes(process.pid);
process.send({ own: Math.max(0, after.own - before.own), mapped: after.mapped - before.mapped });
await ledger.close();
process.disconnect();
