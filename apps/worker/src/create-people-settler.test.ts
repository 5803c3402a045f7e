import type { IdentityRules, IdentityStore } from "@polder/core";
import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, it } from "vitest";
import { createPeopleSettler } from "./create-people-settler.ts";
import { createMemoryIdentityStore, newMemoryIdentity } from "./memory-identity-store.test-support.ts";
import { createClocks, runHistory, someRules, someSteps, type TestedStore } from "./people-history.test-support.ts";

const logger = { info() {}, warn() {}, error() {} };

function newTestedStore(): TestedStore {
  const memory = newMemoryIdentity();
  const clockOfWorker = createClocks();
  return {
    async add({ atoms, edges, decisions, erased, ties, nameless, removed }) {
      const isRemoved = ({ partition, offset }: { partition: number; offset: number }): boolean =>
        removed.some((one) => one.partition === partition && one.offset === offset);
      const isNameless = ({ atom }: { atom: number }): boolean => nameless.some((one) => one.atom === atom);
      memory.edges = memory.edges.filter((edge) => !isRemoved(edge) && !isNameless(edge));
      memory.atoms = memory.atoms.map((one) => (isNameless(one) ? { ...one, anonymousId: "", userId: "" } : one));
      memory.ties.push(...ties);
      memory.atoms.push(...atoms);
      memory.edges.push(...edges);
      memory.decisions.push(...decisions);
      memory.erased.push(...erased);
    },
    persons: async () =>
      memory.atoms
        .map(({ atom }): [number, number] => [atom, memory.identity.get(atom)?.person ?? atom])
        .toSorted(([a], [b]) => a - b),
    async forget() {
      memory.identity.clear();
      memory.quarantine.clear();
      memory.position = undefined;
    },
    settler: (rules: () => ReadonlyMap<string, IdentityRules>, failAfter?: number) =>
      createPeopleSettler({
        store: failing(createMemoryIdentityStore(memory), failAfter),
        rules,
        logger,
        now: clockOfWorker(),
        chunk: 3,
      }),
  };
}

/** The same store, whose writes fail after so many. */
function failing(store: IdentityStore, after = Infinity): IdentityStore {
  let left = after;
  const orFail =
    <A extends unknown[], R>(write: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (left-- <= 0) throw new Error("cut off");
      return write(...args);
    };
  return {
    ...store,
    writePersons: orFail(store.writePersons),
    writeQuarantined: orFail(store.writeQuarantined),
    writePosition: orFail(store.writePosition),
    publishPersons: orFail(store.publishPersons),
  };
}

describe("people", () => {
  it("are what the resolver says of everything at once, after any order of events, decisions, erasures, rules, restarts and cuts", () =>
    checkAsyncProperty(
      fc.asyncProperty(someRules, someSteps, (rules, steps) => runHistory(newTestedStore(), rules, steps)),
      400,
    ));
});
