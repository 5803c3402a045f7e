import {
  createIdentityDesk,
  createNodeReader,
  defaultIdentityRules,
  resolvePeople,
  type IdentityRules,
  type SiteAtom,
} from "@polder/core";
import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPeopleSettler } from "./create-people-settler.ts";
import { createMemoryIdentityStore, newMemoryIdentity } from "./memory-identity-store.test-support.ts";
import { addStep, newHistory, someRules, someSteps, type Step } from "./people-history.test-support.ts";

const signed = { actor: "ada", reason: "a test" };

/** What these steps have left behind, and the desk at which somebody decides next. */
function play(steps: readonly Step[], rules: IdentityRules) {
  const memory = newMemoryIdentity();
  const history = newHistory();
  for (const step of steps) {
    const { atoms, decisions } = addStep(history, step, rules);
    memory.atoms.push(...atoms);
    memory.decisions.push(...decisions);
  }
  memory.edges = history.edges;
  const store = createMemoryIdentityStore(memory);
  let ids = 0;
  const desk = createIdentityDesk({
    identities: store,
    decisions: {
      decisionsOf: async (site) => memory.decisions.filter((one) => one.site === site),
      write: async (decision) => void memory.decisions.push(decision),
      erasedNodes: async () => new Map(),
      isSettled: async (id) => memory.position?.decisions.has(id) ?? false,
    },
    rules: () => new Map([["shop", rules]]),
    now: () => 0,
    newId: () => `made-${ids++}`,
  });
  const settler = createPeopleSettler({
    store,
    rules: () => new Map([["shop", rules]]),
    logger: { info() {}, warn() {}, error() {} },
    now: () => new Date(0),
  });
  const ofSite = (): SiteAtom[] => memory.atoms.filter(({ site }) => site === "shop");
  /** Whose each node's identities are, as if none were quarantined: a quarantine is no unmerge. */
  const people = (): ReadonlyMap<string, number> =>
    resolvePeople({
      atoms: ofSite(),
      edges: memory.edges.filter(({ site }) => site === "shop"),
      decisions: memory.decisions.filter(({ site }) => site === "shop"),
      rules,
    }).nodes;
  return { desk, settler, people, ofSite, memory, nodes: createNodeReader(rules) };
}

const persons = ({ memory }: ReturnType<typeof play>): string =>
  JSON.stringify(memory.atoms.map(({ atom }) => memory.identity.get(atom)?.person ?? atom));

describe("an unmerge", () => {
  it("of an id leaves none of its identities with the rest, whatever tied them, and says so when nothing did", () =>
    checkAsyncProperty(
      fc.asyncProperty(someRules, someSteps, fc.nat(), async (rules, steps, at) => {
        const world = play(steps, rules);
        const named = world.ofSite().flatMap(({ atom, anonymousId, userId }) => {
          const node = world.nodes.ofAtom(anonymousId, userId);
          return node === undefined ? [] : [{ atom, node }];
        });
        const picked = named[at % Math.max(1, named.length)];
        if (picked === undefined) return;
        const { atom, node } = picked;
        const before = world.people();
        const together = named.filter((one) => one.node !== node && before.get(one.node) === before.get(node));
        const id = node.slice(node.indexOf(":") + 1);
        const apart = node.startsWith("user:") ? { users: [id], devices: [] } : { users: [], devices: [id] };
        const outcome = await world.desk.unmerge("shop", atom, apart, signed);
        expect(outcome.ok, "somebody is taken apart where there is somebody").toBe(together.length > 0);
        const after = world.people();
        for (const one of together) expect(after.get(one.node)).not.toBe(after.get(node));
        expect(await world.settler.tick()).toBeDefined();
      }),
      600,
    ));

  it("of a number that was merged by hand gives everybody back whoever they were", () =>
    checkAsyncProperty(
      fc.asyncProperty(someRules, someSteps, fc.nat(), fc.nat(), async (rules, steps, a, b) => {
        const world = play(
          steps.filter((step) => step.do === "say"),
          rules,
        );
        await world.settler.tick();
        const before = persons(world);
        const atoms = world.ofSite();
        const [left, right] = [a, b].map((n) => atoms[n % Math.max(1, atoms.length)]?.atom ?? 0) as [number, number];
        const merged = await world.desk.merge("shop", { left, right }, signed);
        if (!merged.ok) return;
        await world.settler.tick();
        expect(world.people().get(merged.decision.left)).toBe(world.people().get(merged.decision.right));
        expect((await world.desk.unmerge("shop", left, { person: right }, signed)).ok).toBe(true);
        await world.settler.tick();
        expect(persons(world)).toBe(before);
      }),
      600,
    ));
});

describe("a dismissal", () => {
  it("that is said again is the one that holds, and another one once that is undone", async () => {
    const { desk, memory } = play([], defaultIdentityRules);
    const seen = (atom: number, userId: string): SiteAtom => ({ site: "shop", atom, anonymousId: "", userId });
    memory.atoms.push(seen(1, "an"), seen(2, "anna"), seen(3, "bo"));
    const first = await desk.dismiss("shop", { left: 1, right: 2 }, signed);
    expect(await desk.dismiss("shop", { left: 2, right: 1 }, { ...signed, reason: "again" })).toEqual(first);
    expect(await desk.dismiss("shop", { left: 1, right: 3 }, signed)).not.toEqual(first);
    if (!first.ok) throw new Error(first.fault);
    await desk.undo("shop", first.decision.id, signed);
    const later = await desk.dismiss("shop", { left: 1, right: 2 }, signed);
    expect(memory.decisions.map(({ action }) => action)).toEqual(["dismiss", "dismiss", "undo", "dismiss"]);
    expect(later).toMatchObject({ ok: true, decision: { id: memory.decisions.at(-1)!.id } });
  });
});

describe("a merge", () => {
  const seen = (atom: number, anonymousId: string, userId = ""): SiteAtom => ({
    site: "shop",
    atom,
    anonymousId,
    userId,
  });
  /** Device b, user w and device e, of whom somebody said that the last two are one. */
  async function tieTwo() {
    const world = play([], defaultIdentityRules);
    world.memory.atoms.push(seen(3, "b"), seen(5, "", "w"), seen(8, "e"));
    const first = await world.desk.merge("shop", { left: 8, right: 5 }, signed);
    if (!first.ok) throw new Error(first.fault);
    return { ...world, first: first.decision };
  }

  it("is about the one that was named, and not about whom somebody tied to it", async () => {
    for (const pair of [
      { left: 8, right: 3 },
      { left: 5, right: 3, named: ["user:e", "device:e", "e"] },
      { left: 5, right: 3, named: ["8"] },
    ]) {
      const { desk, people, first } = await tieTwo();
      expect(await desk.merge("shop", pair, signed)).toMatchObject({
        decision: { left: "device:e", right: "device:b" },
      });
      await desk.undo("shop", first.id, signed);
      expect(people()).toEqual(
        new Map([
          ["device:b", 3],
          ["device:e", 3],
          ["user:w", 5],
        ]),
      );
    }
    // A name of somebody else is none of theirs.
    const { desk } = await tieTwo();
    expect(await desk.merge("shop", { left: 5, right: 3, named: ["device:b"] }, signed)).toMatchObject({
      decision: { left: "user:w" },
    });
  });

  it("that is undone leaves later ones as if it had never been made", () =>
    checkAsyncProperty(
      fc.asyncProperty(
        someRules,
        someSteps,
        fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
        async (rules, steps, picks) => {
          const said = steps.filter((step) => step.do === "say");
          const [world, other] = [play(said, rules), play(said, rules)];
          const atoms = world.ofSite();
          const [a, b, c, d] = picks.map((n) => atoms[n % Math.max(1, atoms.length)]?.atom ?? 0) as [
            number,
            number,
            number,
            number,
          ];
          const undone = await world.desk.merge("shop", { left: a, right: b }, signed);
          const later = await world.desk.merge("shop", { left: c, right: d }, signed);
          if (!undone.ok || !later.ok) return;
          await world.desk.undo("shop", undone.decision.id, signed);
          await other.desk.merge("shop", { left: c, right: d }, signed);
          expect(world.people()).toEqual(other.people());
        },
      ),
      600,
    ));
});
