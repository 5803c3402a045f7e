import { describe, expect, it } from "vitest";
import { createInFlight } from "./in-flight.ts";

const waitingBytes = 4096;
/** Lets requests of `bytes` in for a holder until there is no more room; how many. */
function fill(inFlight: ReturnType<typeof createInFlight>, holder: string, bytes: number): number {
  let count = 0;
  for (;;) {
    const request = inFlight.open(`address of ${holder}`);
    if (!request.add(bytes) || !request.moveTo(holder, 0)) {
      request.leave();
      return count;
    }
    count++;
  }
}

describe("createInFlight", () => {
  it("gives one holder half, the next ones less each, and keeps room for a newcomer", () => {
    const inFlight = createInFlight({ maxRequests: 1e6, maxBytes: 100 * 1e6 });
    const cost = 1e6 + waitingBytes;
    const hot = fill(inFlight, "hot", 1e6) * cost;
    expect(hot / 1e8).toBeCloseTo(0.5, 1);
    const second = fill(inFlight, "second", 1e6) * cost;
    expect(second / 1e8).toBeCloseTo(0.25, 1);
    expect(fill(inFlight, "hot", 1e6)).toBe(0);
    const small = inFlight.open("somebody");
    expect(small.add(500_000) && small.moveTo("small", 0)).toBe(true);
    expect(inFlight.bytes()).toBeLessThan(1e8);
  });

  it("counts what came, and gives all of it back", async () => {
    const inFlight = createInFlight({ maxRequests: 10, maxBytes: 1000 * waitingBytes });
    const one = inFlight.open("a");
    const other = inFlight.open("b");
    expect([inFlight.requests(), inFlight.bytes()]).toEqual([2, 0]);
    one.add(100);
    one.add(50);
    expect(inFlight.bytes()).toBe(150);
    one.moveTo("site", 40);
    other.add(10);
    expect(inFlight.bytes()).toBe(200 + waitingBytes);
    let isEmpty = false;
    const emptied = inFlight.empty().then(() => (isEmpty = true));
    one.leave();
    await Promise.resolve();
    expect([inFlight.bytes(), isEmpty]).toEqual([10, false]);
    other.leave();
    await emptied;
    expect([inFlight.requests(), inFlight.bytes()]).toEqual([0, 0]);
  });

  it("judges a request by what is made of it, and leaves it as it was when that is too much", () => {
    const inFlight = createInFlight({ maxRequests: 10, maxBytes: 100 * waitingBytes });
    const first = inFlight.open("a");
    expect(first.add(100) && first.moveTo("site", 48 * waitingBytes)).toBe(true);
    const second = inFlight.open("b");
    expect(second.add(100)).toBe(true);
    expect(second.moveTo("site", 10 * waitingBytes)).toBe(false);
    expect(inFlight.bytes()).toBe(200 + 49 * waitingBytes);
    expect(second.moveTo("other", 10 * waitingBytes)).toBe(true);
    expect(inFlight.bytes()).toBe(200 + 60 * waitingBytes);
  });

  it("takes a single request that is larger than the bound: it could never come in otherwise", () => {
    const inFlight = createInFlight({ maxRequests: 10, maxBytes: 100 });
    const large = inFlight.open("a");
    expect(large.add(5000) && large.moveTo("site", 0)).toBe(true);
    expect(inFlight.open("b").add(1)).toBe(false);
    large.leave();
    expect(inFlight.open("b").add(1)).toBe(true);
  });

  it("bounds how many wait, whatever they hold", () => {
    const inFlight = createInFlight({ maxRequests: 3, maxBytes: 1e9 });
    expect(fill(inFlight, "a", 1)).toBe(3);
  });

  it("lets those who only announce a body take nothing from others", () => {
    const inFlight = createInFlight({ maxRequests: 10, maxBytes: 1e6 });
    for (let n = 0; n < 10_000; n++) inFlight.open("slow");
    expect(fill(inFlight, "site", 1000)).toBe(10);
  });
});
