import type { AtomKey, StoredRecord } from "@polder/core";
import { describe, expect, it } from "vitest";
import { atomStride, createAtoms } from "./atoms.ts";
import { createEndingAtoms } from "./ending-atoms.ts";

const record = (anonymousId: string, userId = "", offset = 0): StoredRecord => ({
  offset,
  key: `s:${anonymousId}`,
  value: new Uint8Array(),
  headers: { id: "m", site: "s", anonymousId, userId },
});

/** A table of atoms as the store would answer from it, that also counts how often it was asked. */
function table(rows: [key: string, atom: number][] = []) {
  const atoms = new Map(rows);
  let asked = 0;
  return {
    atoms,
    asked: () => asked,
    findAtoms: async (keys: readonly AtomKey[], except?: ReadonlySet<number>) => {
      asked++;
      const found = keys.map(({ anonymousId, userId }) => atoms.get(`${anonymousId}/${userId}`));
      return found.map((atom) => (atom !== undefined && except?.has(atom) ? undefined : atom));
    },
  };
}

const none = { current: () => Promise.resolve(new Set<number>()) };

/** The time of day, and one that only passes. */
function startEnding() {
  const asked: string[] = [];
  const time = {
    now: Date.parse("2026-11-22T20:15:00Z"),
    clock: 0,
    passes(ms: number) {
      time.now += ms;
      time.clock += ms;
    },
  };
  const ending = createEndingAtoms(
    {
      endingAtoms: async (since) => {
        asked.push(since.toISOString().slice(11, 19));
        return [64];
      },
    },
    () => new Date(time.now),
    () => time.clock,
  );
  return { time, asked, ending };
}

describe("atoms", () => {
  it("numbers new ones densely from next, in the order of the records, interleaved by partition", async () => {
    const atoms = createAtoms({ partition: 3, ending: none, store: table(), maxCached: 10 });
    const resolved = await atoms.resolve([record("a"), record("b"), record("a"), record("a", "u")], 7);
    expect(resolved.atoms).toEqual([7, 8, 7, 9].map((n) => n * atomStride + 3));
    expect(resolved.next).toBe(10);
  });

  it("gives none to an event without identifiers", async () => {
    const atoms = createAtoms({ partition: 0, ending: none, store: table(), maxCached: 10 });
    expect(await atoms.resolve([record("")], 1)).toMatchObject({ atoms: [0], next: 1 });
  });

  it("uses the known ones and asks for them once", async () => {
    const store = table([["a/", 64 * 2]]);
    const atoms = createAtoms({ partition: 0, ending: none, store, maxCached: 10 });
    expect((await atoms.resolve([record("a"), record("b")], 5)).atoms).toEqual([128, 320]);
    expect((await atoms.resolve([record("a")], 5)).atoms).toEqual([128]);
    expect(store.asked()).toBe(1);
  });

  it("gives the same atoms on a retry, though the first try left its own in the store", async () => {
    const store = table([["a/", 64 * 2]]);
    const records = [record("b"), record("a"), record("c")];
    const first = await createAtoms({ partition: 0, ending: none, store, maxCached: 10 }).resolve(records, 5);
    store.atoms.set("b/", first.atoms[0]!).set("c/", first.atoms[2]!);
    const second = await createAtoms({ partition: 0, ending: none, store, maxCached: 10 }).resolve(records, 5);
    expect(second.atoms).toEqual(first.atoms);
    expect(second.next).toBe(first.next);
  });

  it("gives what an earlier try stored, though who is known has changed since, and numbers new ones after it", async () => {
    const store = table([["k/", 64]]);
    const ending = { current: () => Promise.resolve(new Set([64])) };
    const atoms = createAtoms({ partition: 0, ending, store, maxCached: 10 });
    const records = ["k", "a", "", "b", "k", "c"].map((id, index) => record(id, "", 10 + index));
    // Of the last two the rows did not arrive.
    const stored = new Map([
      [10, 64],
      [11, 128],
      [12, 0],
      [13, 192],
    ]);
    const resolved = await atoms.resolve(records, 2, stored);
    expect(resolved).toMatchObject({ atoms: [64, 128, 0, 192, 64, 256], next: 5 });
    atoms.remember(resolved.fresh);
    // Nobody who is about to be nameless is remembered for that.
    store.atoms.set("a/", 128).set("b/", 192);
    const later = ["a", "b", "c", "k"].map((id, index) => record(id, "", 20 + index));
    expect((await atoms.resolve(later, resolved.next)).atoms).toEqual([128, 192, 256, 320]);
  });

  it("keeps atoms that another partition gave out", async () => {
    const atoms = createAtoms({ partition: 0, ending: none, store: table([["a/", 64 * 900 + 9]]), maxCached: 10 });
    expect((await atoms.resolve([record("a")], 5)).atoms).toEqual([64 * 900 + 9]);
  });

  it("does not remember fresh ones before it is told that they are stored", async () => {
    const atoms = createAtoms({ partition: 0, ending: none, store: table(), maxCached: 10 });
    const failed = await atoms.resolve([record("x"), record("y")], 1);
    expect((await atoms.resolve([record("y")], 1)).atoms).toEqual([64]);
    atoms.remember(failed.fresh);
    expect((await atoms.resolve([record("y")], 9)).atoms).toEqual([128]);
  });

  it("stays bounded and still right when more keys pass than it may cache", async () => {
    const store = table();
    const atoms = createAtoms({ partition: 0, ending: none, store, maxCached: 2 });
    const resolved = await atoms.resolve(
      ["a", "b", "c", "d"].map((id) => record(id)),
      1,
    );
    for (const [i, id] of ["a", "b", "c", "d"].entries()) store.atoms.set(`${id}/`, resolved.atoms[i]!);
    atoms.remember(resolved.fresh);
    expect(
      (
        await atoms.resolve(
          ["a", "b", "c", "d"].map((id) => record(id)),
          resolved.next,
        )
      ).atoms,
    ).toEqual(resolved.atoms);
  });

  it("refuses to run out of numbers", async () => {
    const atoms = createAtoms({ partition: 0, ending: none, store: table(), maxCached: 10 });
    await expect(atoms.resolve([record("a")], 2 ** 26)).rejects.toThrow("add partitions");
  });

  it("never gives the number of an identity that is about to be nameless again, cached or found", async () => {
    let current = new Set<number>();
    const store = table([
      ["a/", 64],
      ["b/", 128],
    ]);
    const ending = { current: () => Promise.resolve(current) };
    const atoms = createAtoms({ partition: 0, store, ending, maxCached: 10 });
    expect((await atoms.resolve([record("a"), record("b")], 3)).atoms).toEqual([64, 128]);
    current = new Set([64]);
    const resolved = await atoms.resolve([record("a"), record("b")], 3);
    expect(resolved.atoms).toEqual([192, 128]);
    atoms.remember(resolved.fresh);
    current = new Set();
    expect((await atoms.resolve([record("a")], 4)).atoms).toEqual([192]);
  });

  it("looks for identities that end every two seconds for all partitions together, from where it last looked", async () => {
    const { time, asked, ending } = startEnding();
    await Promise.all([ending.current(), ending.current()]);
    time.passes(1_999);
    const before = await ending.current();
    expect(asked).toEqual(["20:05:00"]);
    time.passes(3_600_000);
    expect(await ending.current()).toBe(before);
    expect(asked).toEqual(["20:05:00", "20:05:00"]);
  });

  it("goes on looking for them when the clock is put back, for those announced by that clock", async () => {
    const { time, asked, ending } = startEnding();
    await ending.current();
    time.now -= 3_600_000;
    time.passes(2_000);
    await ending.current();
    time.passes(2_000);
    await ending.current();
    expect(asked).toEqual(["20:05:00", "19:05:02", "19:05:02"]);
  });
});
