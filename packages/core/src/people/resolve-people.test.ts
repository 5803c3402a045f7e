import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { emailHash, phoneHash } from "./contact-hash.ts";
import { manualKey, type EdgeKey, type IdentityDecision } from "./identity-decision.ts";
import { defaultIdentityRules, identityRulesHash, type IdentityRules } from "./identity-rules.ts";
import { isOverLimit, resolvePeople, type IdentityAtom, type IdentityEdge } from "./resolve-people.ts";

const dayMs = 24 * 3_600_000;

/** `seen("phone", "an")` is number 1, the next one number 2, and so on. */
function createWorld(changes: Partial<IdentityRules> = {}) {
  const rules = { ...defaultIdentityRules, ...changes };
  const atoms: IdentityAtom[] = [];
  const edges: IdentityEdge[] = [];
  const decisions: IdentityDecision[] = [];
  const state = (edge: Partial<IdentityEdge> & Pick<IdentityEdge, "kind">, day = 0): void => {
    const whole = { anonymousId: "", userId: "", other: "", rule: edge.kind as string, time: day * dayMs, ...edge };
    edges.push(whole);
  };
  const decide = (decision: Partial<IdentityDecision> & Pick<IdentityDecision, "action">): string => {
    const id = `decision-${decisions.length}`;
    const nothing = { site: "shop", left: "", right: "", edges: [], actor: "ada", reason: "seen", undoes: "" };
    decisions.push({ id, at: decisions.length, ...nothing, ...decision });
    return id;
  };
  return {
    rules,
    atoms,
    edges,
    decisions,
    seen(anonymousId: string, userId = "", day = 0): number {
      const known = atoms.find((one) => one.anonymousId === anonymousId && one.userId === userId);
      if (anonymousId !== "" && userId !== "") state({ kind: "login", anonymousId, userId, other: userId }, day);
      if (known !== undefined) return known.atom;
      atoms.push({ atom: atoms.length + 1, anonymousId, userId });
      return atoms.length;
    },
    alias: (userId: string, other: string) => state({ kind: "alias", userId, other }),
    email: (anonymousId: string, userId: string, address: string, rule = userId === "" ? "form" : "login", day = 0) =>
      state({ kind: "email", anonymousId, userId, other: emailHash(address), rule }, day),
    phone: (anonymousId: string, userId: string, number: string, rule = userId === "" ? "form" : "login") =>
      state({ kind: "phone", anonymousId, userId, other: phoneHash(number), rule }),
    merge: (left: string, right: string): string => decide({ action: "merge", left, right }),
    unmerge: (...some: EdgeKey[]): string => decide({ action: "unmerge", edges: some }),
    undo: (undoes: string): string => decide({ action: "undo", undoes }),
    /** The person of each number, in their order. */
    people: () => {
      const { persons } = resolvePeople({ atoms, edges, decisions, rules });
      return atoms.map(({ atom }) => persons.get(atom));
    },
    outcomes: () =>
      resolvePeople({ atoms, edges, decisions, rules }).edges.map(({ kind, outcome }) => `${kind} ${outcome}`),
  };
}

describe("a log-in", () => {
  it("joins what was done before it on that device, and the other devices of the user", () => {
    const world = createWorld();
    world.seen("phone");
    world.seen("laptop");
    world.seen("phone", "an");
    expect(world.people()).toEqual([1, 2, 1]);
    world.seen("laptop", "an");
    expect(world.people()).toEqual([1, 1, 1, 1]);
  });

  it("of a second user makes a device shared: each keeps what was done under its own id, the rest is of neither", () => {
    const world = createWorld();
    world.seen("kiosk");
    world.seen("kiosk", "an");
    world.seen("kiosk", "bo");
    expect(world.people()).toEqual([1, 2, 3]);
    expect(world.outcomes()).toEqual(["login shared_device", "login shared_device"]);
  });

  it("joins nobody by a value that stands for nobody", () => {
    const world = createWorld({ blocked: ["Counter "] });
    for (const id of [
      "null",
      " Guest",
      "0000-00",
      "00000000-0000-0000-0000-000000000000",
      "test@shop.example",
      "counter",
    ]) {
      world.seen(`phone of ${id}`, id);
      world.seen(`laptop of ${id}`, id);
    }
    expect(world.people()).toEqual(world.atoms.map(({ atom }) => atom));
    expect(new Set(world.outcomes())).toEqual(new Set(["login blocked"]));
  });

  it("on more new devices within the time of the limit than it allows joins none of them, and on as many it does", () => {
    const limits = { ...defaultIdentityRules.limits, user_id: { max: 2, withinDays: 30 } };
    const world = createWorld({ limits });
    for (const [device, day] of [
      ["a", 0],
      ["b", 10],
      ["c", 41],
    ] as const) {
      world.seen(device);
      world.seen(device, "an", day);
    }
    expect(world.people()).toEqual([1, 1, 1, 1, 1, 1]);
    world.seen("d", "an", 11);
    expect(world.people()).toEqual([1, 2, 3, 2, 5, 2, 2]);
    expect(new Set(world.outcomes())).toEqual(new Set(["login over_limit"]));
  });
});

describe("a limit", () => {
  it("counts what is new within a closed span, by days of 24 hours", () => {
    expect(isOverLimit([0, 30 * dayMs], { max: 1, withinDays: 30 })).toBe(true);
    expect(isOverLimit([0, 30 * dayMs + 1], { max: 1, withinDays: 30 })).toBe(false);
    expect(isOverLimit([5, 1, 3], { max: 3, withinDays: 1 })).toBe(false);
  });
});

describe("an alias", () => {
  it("joins two users, unless the site does not want that", () => {
    for (const aliasJoinsUsers of [true, false]) {
      const world = createWorld({ aliasJoinsUsers });
      world.seen("", "an");
      world.seen("", "anna");
      world.alias("anna", "an");
      expect(world.people()).toEqual(aliasJoinsUsers ? [1, 1] : [1, 2]);
    }
  });

  it("of a device is a log-in there, and of both is both", () => {
    const world = createWorld();
    world.seen("x");
    world.seen("", "an");
    world.alias("an", "x");
    expect(world.people()).toEqual([1, 1]);
    world.seen("", "x");
    expect(world.people()).toEqual([1, 1, 1]);
  });

  it("of somebody who was never seen waits for them", () => {
    const world = createWorld();
    world.seen("", "an");
    world.alias("an", "later");
    expect(world.outcomes()).toEqual(["alias nothing_to_join"]);
    world.seen("later");
    expect(world.people()).toEqual([1, 1]);
  });
});

describe("a contact", () => {
  it("that a page states with a user id that stands for nobody is typed into a form, whatever the page says", () => {
    const world = createWorld({ blocked: ["counter"] });
    world.seen("", "an");
    world.email("", "an", "an@shop.example");
    for (const [device, user] of [
      ["till", "Counter"],
      ["phone", "null"],
    ] as const) {
      world.seen(device, user);
      world.email(device, user, "an@shop.example", "login");
    }
    expect(world.people()).toEqual([1, 2, 3]);
    expect(world.outcomes().filter((outcome) => outcome === "email unconfirmed")).toHaveLength(2);
    world.email("till", "Counter", "an@shop.example", "server");
    expect(world.people()).toEqual([1, 1, 3]);
  });

  it("that is typed into a form proposes, and joins when a login in the same browser or the site says so", () => {
    const world = createWorld();
    world.seen("phone");
    world.seen("", "an");
    world.email("", "an", "an@shop.example");
    world.email("phone", "", "An@shop.example ");
    expect(world.people()).toEqual([1, 2]);
    expect(world.outcomes()).toContain("email unconfirmed");
    world.rules.trustsForms = true;
    expect(world.people()).toEqual([1, 1]);
    world.rules.trustsForms = false;
    world.seen("phone", "bo");
    world.email("phone", "bo", "an@shop.example");
    // Of the same browser, so confirmed; and then three people state it.
    expect(world.outcomes().filter((outcome) => outcome === "email conflict")).toHaveLength(3);
  });

  it("joins a device to one known person, and never two known people", () => {
    const world = createWorld();
    world.seen("tablet");
    world.seen("", "an");
    world.email("tablet", "", "an@shop.example", "server");
    world.email("", "an", "an@shop.example");
    expect(world.people()).toEqual([1, 1]);
    world.seen("", "bo");
    world.email("", "bo", "an@shop.example");
    expect(world.people()).toEqual([1, 2, 3]);
  });

  it("of a kind with priority comes first, and one that has to be unique keeps two apart", () => {
    const build = (changes: Partial<IdentityRules>) => {
      const world = createWorld(changes);
      world.seen("tablet");
      world.seen("", "an");
      world.seen("", "bo");
      world.email("tablet", "", "an@shop.example", "server");
      world.email("", "an", "an@shop.example");
      world.phone("tablet", "", "+31 6 12", "server");
      world.phone("", "bo", "0031612");
      return world;
    };
    expect(build({}).people()).toEqual([1, 1, 3]);
    expect(build({ priority: ["phone", "email"] }).people()).toEqual([1, 2, 1]);
    expect(build({ priority: ["phone"] }).people()).toEqual([1, 2, 1]);
    const unique = build({ unique: ["phone"] });
    unique.phone("", "an", "99");
    expect(unique.people()).toEqual([1, 2, 1]);
  });

  it("of a shared device joins nobody", () => {
    const world = createWorld();
    world.seen("kiosk");
    world.seen("kiosk", "an");
    world.seen("kiosk", "bo");
    world.seen("tablet");
    for (const device of ["kiosk", "tablet"]) world.email(device, "", "x@shop.example", "server");
    expect(world.people()).toEqual([1, 2, 3, 4]);
  });

  it("over its limit joins nobody", () => {
    const world = createWorld({ limits: { ...defaultIdentityRules.limits, email: { max: 2, withinDays: 1 } } });
    for (const device of ["a", "b", "c"]) {
      world.seen(device);
      world.email(device, "", "x@shop.example", "server");
    }
    expect(world.people()).toEqual([1, 2, 3]);
    expect(new Set(world.outcomes())).toEqual(new Set(["email over_limit"]));
  });
});

describe("a decision", () => {
  it("to merge joins two known people, and one to unmerge takes them apart again", () => {
    const world = createWorld();
    world.seen("phone", "an");
    world.seen("laptop", "bo");
    world.merge("user:an", "user:bo");
    expect(world.people()).toEqual([1, 1]);
    world.unmerge(manualKey("user:bo", "user:an"));
    expect(world.people()).toEqual([1, 2]);
    world.merge("user:bo", "user:an");
    expect(world.people()).toEqual([1, 1]);
  });

  it("that an edge does not hold stands when events state it again, until it is undone", () => {
    const world = createWorld();
    world.seen("phone");
    world.seen("phone", "an");
    const unmerge = world.unmerge({ kind: "login", node: "device:phone", other: "user:an" });
    world.seen("phone", "an", 9);
    expect(world.people()).toEqual([1, 2]);
    const undo = world.undo(unmerge);
    expect(world.people()).toEqual([1, 1]);
    world.undo(undo);
    expect(world.people()).toEqual([1, 2]);
  });
});

describe("a person of too many identities", () => {
  it("is quarantined: each of them stands alone", () => {
    const world = createWorld({ maxAtoms: 3 });
    for (const device of ["a", "b", "c"]) world.seen(device, "an");
    expect(world.people()).toEqual([1, 1, 1]);
    world.seen("", "an");
    expect(world.people()).toEqual([1, 2, 3, 4]);
    expect(resolvePeople(world).quarantined).toEqual([{ atom: 1, atoms: 4 }]);
  });
});

describe("people", () => {
  const small = (prefix: string, n: number) =>
    fc.integer({ min: 0, max: n }).map((i) => (i === 0 ? "" : `${prefix}${i}`));
  const edge: fc.Arbitrary<IdentityEdge> = fc
    .record({
      kind: fc.constantFrom("login", "import", "alias", "email", "phone"),
      anonymousId: small("a", 6),
      userId: small("u", 4),
      other: fc.constantFrom("a1", "u1", "u2", "u3", "hash"),
      rule: fc.constantFrom("server", "login", "form"),
      time: fc.integer({ min: 0, max: 50 }).map((day) => day * dayMs),
    })
    .map((one) => (one.kind === "login" || one.kind === "import" ? { ...one, other: one.userId } : one));
  const key: fc.Arbitrary<EdgeKey> = fc.record({
    kind: fc.constantFrom("login", "alias", "email", "manual"),
    node: fc.constantFrom("device:a1", "device:a2", "user:u1", "user:u2"),
    other: fc.constantFrom("user:u1", "user:u2", "hash", "u1"),
  });
  const node = fc.constantFrom("device:a1", "device:a2", "user:u1", "user:u2", "user:u3");
  const decisions = fc
    .array(
      fc.record({
        action: fc.constantFrom("merge", "unmerge", "undo", "dismiss"),
        left: node,
        right: node,
        edges: fc.array(key, { maxLength: 2 }),
        undoes: fc.integer({ min: 0, max: 5 }).map(String),
      }),
      { maxLength: 6 },
    )
    .map((some) =>
      some.map((one, n): IdentityDecision => ({ ...one, id: String(n), at: n, site: "shop", actor: "", reason: "" })),
    );
  const limit = fc.record({ max: fc.integer({ min: 1, max: 3 }), withinDays: fc.integer({ min: 1, max: 20 }) });
  const rules: fc.Arbitrary<IdentityRules> = fc.record({
    limits: fc.record({ user_id: limit, email: limit, phone: limit }),
    priority: fc.constantFrom(["email", "phone"], ["phone", "email"]),
    unique: fc.constantFrom([], ["email"], ["phone"]),
    blocked: fc.constantFrom([], ["u1"]),
    trustsForms: fc.boolean(),
    aliasJoinsUsers: fc.boolean(),
    maxAtoms: fc.constantFrom(3, 1_000),
  });
  /** As the loader numbers them: one for each pair of ids, and one more where another partition has it too. */
  const atomsOf = (edges: readonly IdentityEdge[]): IdentityAtom[] => {
    const atoms = new Map<string, IdentityAtom>();
    for (const { anonymousId, userId, time } of edges)
      for (const [a, u] of [
        [anonymousId, userId],
        [anonymousId, ""],
      ] as const) {
        const text = JSON.stringify([a, u, time % 2]);
        if ((a !== "" || u !== "") && !atoms.has(text))
          atoms.set(text, { atom: atoms.size + 1, anonymousId: a, userId: u });
      }
    return [...atoms.values()];
  };
  const textOf = ({ persons, edges, quarantined }: ReturnType<typeof resolvePeople>): string =>
    JSON.stringify([
      [...persons].toSorted(([a], [b]) => a - b),
      [
        ...new Set(edges.map((one) => JSON.stringify([one.kind, one.key, one.left, one.right, one.outcome, one.edge]))),
      ].toSorted(),
      quarantined.toSorted((a, b) => a.atom - b.atom),
    ]);

  it("do not depend on the order of anything, nor on how often it is said", () => {
    checkProperty(
      fc.property(fc.array(edge, { maxLength: 25 }), decisions, rules, fc.nat(), (edges, some, siteRules, turn) => {
        const atoms = atomsOf(edges);
        const once = textOf(resolvePeople({ atoms, edges, decisions: some, rules: siteRules }));
        const turned = <T>(values: readonly T[]): T[] => {
          const at = values.length === 0 ? 0 : turn % values.length;
          return [...values.slice(at), ...values.slice(0, at)].toReversed();
        };
        const again = resolvePeople({
          atoms: [...turned(atoms), ...atoms],
          edges: [...turned(edges), ...edges],
          decisions: turned(some),
          rules: siteRules,
        });
        expect(textOf(again)).toBe(once);
      }),
      1_000,
    );
  });

  it("are of the smallest identity, within one site's ids, and never two users joined by what may not join them", () => {
    checkProperty(
      fc.property(fc.array(edge, { maxLength: 25 }), rules, (edges, siteRules) => {
        const atoms = atomsOf(edges);
        const strict = { ...siteRules, aliasJoinsUsers: false };
        const { persons } = resolvePeople({ atoms, edges, decisions: [], rules: strict });
        const users = new Map<number, Set<string>>();
        for (const { atom, userId } of atoms) {
          const person = persons.get(atom)!;
          expect(person).toBeLessThanOrEqual(atom);
          expect(persons.get(person)).toBe(person);
          if (userId !== "" && !strict.blocked.includes(userId))
            users.set(person, (users.get(person) ?? new Set()).add(userId));
        }
        for (const some of users.values()) expect(some.size).toBe(1);
      }),
      500,
    );
  });

  it("are as they were when a merge is undone, or unmerged by its edge", () => {
    checkProperty(
      fc.property(
        fc.array(edge, { maxLength: 25 }),
        decisions,
        rules,
        node,
        node,
        (edges, some, siteRules, left, right) => {
          fc.pre(left !== right && !some.some((one) => one.action !== "dismiss" && hasPair(one, left, right)));
          const atoms = atomsOf(edges);
          const of = (more: IdentityDecision[]): string => {
            const all = { atoms, edges, decisions: [...some, ...more], rules: siteRules };
            return JSON.stringify([...resolvePeople(all).persons]);
          };
          const signed = { site: "shop", actor: "", reason: "", edges: [], undoes: "" };
          const merge: IdentityDecision = { ...signed, id: "merge", at: 100, action: "merge", left, right };
          const undo: IdentityDecision = {
            ...signed,
            id: "undo",
            at: 101,
            action: "undo",
            left: "",
            right: "",
            undoes: "merge",
          };
          const unmerge: IdentityDecision = {
            ...undo,
            id: "unmerge",
            action: "unmerge",
            undoes: "",
            edges: [manualKey(left, right)],
          };
          expect(of([merge, undo])).toBe(of([]));
          expect(of([merge, unmerge])).toBe(of([]));
        },
      ),
      500,
    );
  });
});

const hasPair = (one: IdentityDecision, left: string, right: string): boolean =>
  (one.left === left && one.right === right) ||
  (one.left === right && one.right === left) ||
  one.edges.some(({ kind, node, other }) => kind === "manual" && new Set([node, other, left, right]).size === 2);

describe("the hash of rules", () => {
  it("is the same for the same rules however they are written, and another for every other", () => {
    const hash = identityRulesHash({ ...defaultIdentityRules, blocked: ["X", "y"], unique: ["phone", "email"] });
    expect(identityRulesHash({ ...defaultIdentityRules, blocked: ["y ", "x", "Y"], unique: ["email", "phone"] })).toBe(
      hash,
    );
    const others: Partial<IdentityRules>[] = [
      { priority: ["phone", "email"] },
      { unique: ["email"] },
      { blocked: ["x"] },
      { trustsForms: true },
      { aliasJoinsUsers: false },
      { maxAtoms: 999 },
      { limits: { ...defaultIdentityRules.limits, email: { max: 9, withinDays: 30 } } },
    ];
    const hashes = others.map((change) => identityRulesHash({ ...defaultIdentityRules, ...change }));
    expect(new Set([...hashes, identityRulesHash(defaultIdentityRules)]).size).toBe(others.length + 1);
  });
});
