import type { AtomKey, StoredRecord } from "@polder/core";
import { describe, expect, it } from "vitest";
import { atomStride, createAtoms } from "./atoms.ts";

const record = (anonymousId: string, userId = ""): StoredRecord => ({
  offset: 0,
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
    findAtoms: async (keys: readonly AtomKey[]) => {
      asked++;
      return keys.map(({ anonymousId, userId }) => atoms.get(`${anonymousId}/${userId}`));
    },
  };
}

describe("atoms", () => {
  it("numbers new ones densely from next, in the order of the records, interleaved by partition", async () => {
    const atoms = createAtoms({ partition: 3, store: table(), maxCached: 10 });
    const resolved = await atoms.resolve([record("a"), record("b"), record("a"), record("a", "u")], 7);
    expect(resolved.atoms).toEqual([7, 8, 7, 9].map((n) => n * atomStride + 3));
    expect(resolved.next).toBe(10);
  });

  it("gives none to an event without identifiers", async () => {
    const atoms = createAtoms({ partition: 0, store: table(), maxCached: 10 });
    expect(await atoms.resolve([record("")], 1)).toMatchObject({ atoms: [0], next: 1 });
  });

  it("uses the known ones and asks for them once", async () => {
    const store = table([["a/", 64 * 2]]);
    const atoms = createAtoms({ partition: 0, store, maxCached: 10 });
    expect((await atoms.resolve([record("a"), record("b")], 5)).atoms).toEqual([128, 320]);
    expect((await atoms.resolve([record("a")], 5)).atoms).toEqual([128]);
    expect(store.asked()).toBe(1);
  });

  it("gives the same atoms on a retry, though the first try left its own in the store", async () => {
    const store = table([["a/", 64 * 2]]);
    const records = [record("b"), record("a"), record("c")];
    const first = await createAtoms({ partition: 0, store, maxCached: 10 }).resolve(records, 5);
    store.atoms.set("b/", first.atoms[0]!).set("c/", first.atoms[2]!);
    const second = await createAtoms({ partition: 0, store, maxCached: 10 }).resolve(records, 5);
    expect(second.atoms).toEqual(first.atoms);
    expect(second.next).toBe(first.next);
  });

  it("keeps atoms that another partition gave out", async () => {
    const atoms = createAtoms({ partition: 0, store: table([["a/", 64 * 900 + 9]]), maxCached: 10 });
    expect((await atoms.resolve([record("a")], 5)).atoms).toEqual([64 * 900 + 9]);
  });

  it("does not remember fresh ones before it is told that they are stored", async () => {
    const atoms = createAtoms({ partition: 0, store: table(), maxCached: 10 });
    const failed = await atoms.resolve([record("x"), record("y")], 1);
    expect((await atoms.resolve([record("y")], 1)).atoms).toEqual([64]);
    atoms.remember(failed.fresh);
    expect((await atoms.resolve([record("y")], 9)).atoms).toEqual([128]);
  });

  it("stays bounded and still right when more keys pass than it may cache", async () => {
    const store = table();
    const atoms = createAtoms({ partition: 0, store, maxCached: 2 });
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
    const atoms = createAtoms({ partition: 0, store: table(), maxCached: 10 });
    await expect(atoms.resolve([record("a")], 2 ** 26)).rejects.toThrow("add partitions");
  });
});
