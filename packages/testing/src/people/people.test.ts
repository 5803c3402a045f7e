import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkProperty } from "../seeded.ts";
import { generatePeople } from "./generate-people.ts";
import { defaultRules, type IdentityRules, type PersonDecision, type PersonEvent } from "./person-event.ts";
import { consentTo, funnel, retention, revenueOf, uniquePeople, uniquePeopleByDay } from "./reference-answers.ts";
import { readHistory, type HistoryEntry } from "./reference-model.ts";

const until = Date.UTC(2026, 10, 23);
const dayMs = 86_400_000;
let count = 0;

function event(ids: string, over: Partial<PersonEvent> = {}): HistoryEntry {
  const [anonymousId = "", userId = ""] = ids.split("/");
  const fields = { id: `m${count++}`, anonymousId, userId, time: until, basis: "consent", mask: 63 };
  return { what: "event", event: { ...fields, type: "page", name: "page", ...over } };
}
const decision = (what: PersonDecision): HistoryEntry => ({ what: "decision", decision: what });
const withRules = (over: Partial<IdentityRules>): HistoryEntry => ({
  what: "rules",
  rules: { ...defaultRules, ...over },
});

/** The ids of each person, in the order in which they came: `a1 a1/u1` is one, with a device before and after its login. */
function people(...history: HistoryEntry[]): string[] {
  return [...readHistory(history).eventsOf.values()]
    .map((events) =>
      [
        ...new Set(events.map(({ anonymousId, userId }) => (userId === "" ? anonymousId : `${anonymousId}/${userId}`))),
      ].join(" "),
    )
    .toSorted();
}
const stated = (ids: string, traits: { [name: string]: string }, over: Partial<PersonEvent> = {}) =>
  event(ids, { type: "identify", name: "identify", traits, ...over });

describe("who is one person", () => {
  it("a device before its login, and all devices of a user", () => {
    expect(people(event("a1"), event("a2"), event("a1/u1"), event("a2/u1"))).toEqual(["a1 a2 a1/u1 a2/u1"]);
  });

  it("nobody by a device that two users share", () => {
    expect(people(event("a1"), event("a1/u1"), event("a1/u2"))).toEqual(["a1", "a1/u1", "a1/u2"]);
  });

  it("a shared device is not shared any more when its users turn out to be one", () => {
    const alias = event("/u2", { type: "alias", name: "alias", previousId: "u1" });
    expect(people(event("a1"), event("a1/u1"), event("a1/u2"), alias)).toEqual(["a1 a1/u1 a1/u2 /u2"]);
    expect(people(withRules({ aliasJoinsUsers: false }), event("a1"), event("a1/u1"), event("a1/u2"), alias)).toEqual([
      "a1",
      "a1/u1",
      "a1/u2 /u2",
    ]);
  });

  it("nobody by values that stand for nobody", () => {
    expect(
      people(
        event("a1/null"),
        event("a2/ NULL "),
        event("0000-00/"),
        event("0000-00/guest"),
        event("a3/x"),
        event("a4/x"),
      ),
    ).toEqual(["0000-00", "0000-00/guest", "a1/null", "a2/ NULL ", "a3/x a4/x"]);
    expect(people(withRules({ blocked: ["X"] }), event("a3/x"), event("a4/x"))).toEqual(["a3/x", "a4/x"]);
  });

  it("by an address that a login or a server stated; a form's is a claim", () => {
    const login = stated("a1/u1", { email: "An@shop.example" });
    expect(people(login, stated("a2", { email: "an@shop.example" }))).toEqual(["a1/u1", "a2"]);
    expect(people(login, stated("a2", { email: "an@shop.example " }, { basis: "contract" }))).toEqual(["a1/u1 a2"]);
    expect(people(withRules({ trustsForms: true }), login, stated("a2", { email: "an@shop.example" }))).toEqual([
      "a1/u1 a2",
    ]);
    // Said by the same device once without and once with a login: the first is confirmed by the second.
    expect(
      people(stated("a1", { email: "e@x.example" }), stated("a1/u1", { email: "e@x.example" }), event("a1/u2")),
    ).toEqual(["a1", "a1/u1", "a1/u2"]);
  });

  it("never two users by an address, nor two values of a kind that must be one", () => {
    const mail = { email: "family@shop.example" };
    expect(people(stated("a1/u1", mail), stated("a2/u2", mail))).toEqual(["a1/u1", "a2/u2"]);
    const byServer = { basis: "contract" };
    const devices = [
      stated("a1", { ...mail, phone: "+31 6 1" }, byServer),
      stated("a2", { ...mail, mobile: "00 31 6-2" }, byServer),
    ];
    expect(people(...devices)).toEqual(["a1 a2"]);
    expect(people(withRules({ unique: ["phone"] }), ...devices)).toEqual(["a1", "a2"]);
  });

  it("by a phone number however it is written", () => {
    const byServer = { basis: "contract" };
    expect(
      people(stated("a1", { phone: "+31 (6) 12" }, byServer), stated("a2", { mobile: "0031 6 12" }, byServer)),
    ).toEqual(["a1 a2"]);
    expect(people(stated("a1", { phone: "31612" }, byServer), stated("a2", { phone: "+31612" }, byServer))).toEqual([
      "a1",
      "a2",
    ]);
  });

  it("not by an id with too many counterparts in a window, counted by when each was first seen", () => {
    const limits = { ...defaultRules.limits, user_id: { max: 2, withinDays: 10 } };
    const at = (days: number) => ({ time: until - days * dayMs });
    const devices = [
      event("a1", at(9)),
      event("a1/u", at(9)),
      event("a2", at(8)),
      event("a2/u", at(8)),
      event("a3", at(0)),
      event("a3/u", at(0)),
    ];
    expect(people(withRules({ limits }), ...devices)).toEqual(["a1", "a1/u a2/u a3/u", "a2", "a3"]);
    const longAgo = event("a1/u", at(11));
    expect(people(withRules({ limits }), ...devices, longAgo)).toEqual(["a1/u a1 a2 a2/u a3 a3/u"]);
  });

  it("what was merged by hand, until that is taken back", () => {
    const merge = decision({ id: "d1", action: "merge", left: "user:u1", right: "device:a2" });
    const undo = decision({ id: "d2", action: "undo", undoes: "d1" });
    expect(people(event("a1/u1"), event("a2"), merge)).toEqual(["a1/u1 a2"]);
    expect(people(event("a1/u1"), event("a2"), merge, undo)).toEqual(["a1/u1", "a2"]);
    expect(
      people(event("a1/u1"), event("a2"), merge, undo, decision({ id: "d3", action: "undo", undoes: "d2" })),
    ).toEqual(["a1/u1 a2"]);
  });

  it("not what was taken apart by hand, however often it is stated again", () => {
    const edges = [{ kind: "login", node: "device:a1", other: "user:u1" }] as const;
    expect(
      people(event("a1"), event("a1/u1"), decision({ id: "d1", action: "unmerge", edges }), event("a1/u1")),
    ).toEqual(["a1", "a1/u1"]);
  });

  it("one atom each where there are too many for a person", () => {
    expect(people(withRules({ maxAtoms: 1 }), event("a1"), event("a1/u1"))).toEqual(["a1", "a1/u1"]);
  });

  it("somebody new after an erasure, and nothing of before it", () => {
    const first = event("a1", { id: "first", time: until - 10 });
    const erasure: HistoryEntry = { what: "erasure", of: "first", at: until };
    const again = event("a1", { time: until + 1 });
    const late = event("a1", { id: "late", time: until - 1 });
    const model = readHistory([first, event("a1/u1"), event("a9"), erasure, again, late, first]);
    expect(model.events.map(({ anonymousId, time }) => [anonymousId, time - until])).toEqual([
      ["a9", 0],
      ["a1", 1],
    ]);
    expect([...model.refused]).toEqual(["late"]);
  });
});

describe("what is asked of people", () => {
  const track = (ids: string, name: string, time: number, order?: PersonEvent["order"]) =>
    event(ids, { type: "track", name, time, ...(order && { order }) });

  it("adds up money by currency, each order once", () => {
    const order = (amount: number, currency = "EUR", id = "o1") => ({ id, currency, amount });
    const { eventsOf } = readHistory([
      track("a1", "Order Completed", 1, order(10)),
      track("a1", "Order Completed", 2, order(12)),
      track("a1", "Order Completed", 3, order(7, "USD")),
      track("a1", "Order Refunded", 4, order(-2)),
    ]);
    expect(Object.fromEntries(revenueOf([...eventsOf.values()].flat()))).toEqual({ EUR: 10, USD: 7 });
  });

  it("follows steps in order and within the window", () => {
    const steps = ["A", "B", "C"];
    const model = readHistory([
      track("a1", "A", 0),
      track("a1", "B", 1),
      track("a1", "C", 2),
      track("a2", "B", 0),
      track("a2", "A", 1),
      track("a2", "C", 2),
      track("a3", "A", 0),
      track("a3", "B", 50),
      track("a3", "A", 60),
      track("a3", "C", 105),
      track("a3", "B", 107),
    ]);
    expect(funnel(model, steps, 100)).toEqual([3, 2, 1]);
  });

  it("counts who was seen again, by the Monday of the first week", () => {
    const monday = Date.UTC(2026, 10, 16);
    const model = readHistory([
      event("a1", { time: monday }),
      event("a1", { time: monday + 6 * dayMs }),
      event("a1", { time: monday + 14 * dayMs }),
      event("a2", { time: monday - 1 }),
    ]);
    expect(retention(model)).toEqual(
      new Map([
        [
          "2026-11-16",
          new Map([
            [0, 1],
            [2, 1],
          ]),
        ],
        ["2026-11-09", new Map([[0, 1]])],
      ]),
    );
  });

  it("knows consent where nothing can be said against it", () => {
    const choice = (ids: string, state: string, time: number) =>
      event(ids, { type: "consent", name: "consent", time, choices: { ads: state } });
    const to = (...history: HistoryEntry[]) => {
      const { events, eventsOf } = readHistory(history);
      return consentTo("ads", 32, [...eventsOf.values()][0]!, events, until);
    };
    expect(to(event("a1"))).toBeUndefined();
    expect(to(choice("a1", "granted", until - 2))).toBe(true);
    expect(to(choice("a1", "granted", until - 400 * dayMs))).toBeUndefined();
    expect(to(choice("a1", "granted", until - 2), event("a1", { mask: 31 }))).toBeUndefined();
    expect(to(choice("a1", "granted", until - 2), choice("a1", "denied", until - 1))).toBe(false);
    // On two devices of one user: only the later no is certain.
    expect(to(choice("a1/u1", "granted", until - 2), choice("a2/u1", "denied", until - 1))).toBe(false);
    expect(to(choice("a1/u1", "denied", until - 2), choice("a2/u1", "granted", until - 1))).toBeUndefined();
  });
});

describe("people that were made up", () => {
  it("are found again exactly as they were made, in whatever order their events come", () => {
    const shuffled = fc.integer({ min: 1, max: 1_000_000 }).chain((seed) => {
      const generated = generatePeople({ seed, visitors: 40, until, days: 60 });
      const decisions = generated.history.filter(({ what }) => what === "decision");
      const events = generated.history.filter(({ what }) => what === "event");
      return fc.record({
        truth: fc.constant(generated.truth),
        history: fc.shuffledSubarray(events, { minLength: events.length }).map((order) => [...order, ...decisions]),
      });
    });
    checkProperty(
      fc.property(shuffled, ({ truth, history }) => {
        const model = readHistory(history);
        const labels = [...model.eventsOf.values()].map((events) => new Set(events.map(({ id }) => truth.get(id))));
        // One label a person, and no label in two.
        expect(labels.every((ofPerson) => ofPerson.size === 1)).toBe(true);
        expect(uniquePeople(model)).toBe(new Set(truth.values()).size);
        expect(model.events).toHaveLength(truth.size);
        expect(Math.max(...uniquePeopleByDay(model).values())).toBeLessThanOrEqual(uniquePeople(model));
      }),
      10,
    );
  });

  it("have the shapes that make it hard", () => {
    const { history, truth } = generatePeople({ seed: 1, visitors: 400, until, days: 60 });
    const { eventsOf, events } = readHistory(history);
    const lengths = [...eventsOf.values()].map((own) => own.length).toSorted((a, b) => b - a);
    const devices = [...eventsOf.values()].map((own) => new Set(own.map(({ anonymousId }) => anonymousId)).size);
    const usersOf = new Map<string, Set<string>>();
    for (const { anonymousId, userId } of events)
      if (anonymousId && userId) usersOf.set(anonymousId, (usersOf.get(anonymousId) ?? new Set()).add(userId));
    const eventCount = history.filter(({ what }) => what === "event").length;
    expect(eventCount).toBeGreaterThan(truth.size);
    expect(lengths.slice(0, lengths.length / 100).reduce((a, b) => a + b)).toBeGreaterThan(events.length / 20);
    expect(devices.filter((n) => n > 1).length).toBeGreaterThan(20);
    expect([...usersOf.values()].filter(({ size }) => size > 1).length).toBeGreaterThan(10);
    expect(history.filter(({ what }) => what === "decision").length).toBeGreaterThan(10);
  });
});
