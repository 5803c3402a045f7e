import { randomUUID } from "node:crypto";
import {
  contactsOf,
  defaultRules,
  manualEdge,
  nodesOf,
  readHistory,
  type HistoryEntry,
  type IdentityRules,
  type PersonDecision,
  type PersonEdge,
  type PersonEvent,
} from "@polder/testing";
import fc from "fast-check";
import { askModel, askProduct, faultsOfAtoms, readAtoms, type Answers } from "./answers.test-support.ts";
import type { Product } from "./product.test-support.ts";
import { eventOf, said, type Said } from "./said-events.test-support.ts";

/** Plain data, so that a failing sequence can be printed, shrunk and typed in again. */
export type Operation =
  | { do: "send"; events: readonly Said[] }
  | { do: "sendAgain"; which: number }
  | { do: "restart"; part: "loader" | "worker" }
  /** What comes next is worked out by a worker that is cut off after so many calls of the store; another one goes on. */
  | { do: "cut"; after: number }
  /** The person of one of the events sent so far. */
  | { do: "flag"; flag: "restrict" | "object"; which: number; isSet: boolean }
  | { do: "passTime"; days: number }
  | { do: "merge"; left: number; right: number }
  /** Of the edges that were stated so far. */
  | { do: "unmerge"; which: readonly number[] }
  | { do: "undo"; which: number }
  | { do: "configure"; rules: number }
  /** The person of one of the events sent so far. Hidden, and removed at once or with the next removal. */
  | { do: "erase"; which: number; isRemoved: boolean };

const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("send"), events: fc.array(said, { minLength: 1, maxLength: 5 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("sendAgain"), which: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart"), part: fc.constantFrom("loader", "worker") }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut"), after: fc.nat(30) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("flag"),
      flag: fc.constantFrom("restrict", "object"),
      which: fc.nat(50),
      isSet: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("merge"), left: fc.nat(6), right: fc.nat(6) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("unmerge"), which: fc.array(fc.nat(30), { minLength: 1, maxLength: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("undo"), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("configure"), rules: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("erase"), which: fc.nat(50), isRemoved: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("passTime"), days: fc.integer({ min: 1, max: 40 }) }) },
);

/** The same ones for the same seed. */
export const drawOperations = (seed: number, maxLength: number): Operation[] =>
  fc.sample(fc.array(anyOperation, { minLength: maxLength / 2, maxLength, size: "max" }), { seed, numRuns: 1 })[0]!;

/** What has happened on one site of the product. */
interface Run {
  product: Product;
  site: string;
  history: HistoryEntry[];
  sent: PersonEvent[];
  decisions: PersonDecision[];
  /** Whether rows of somebody who was erased are still there: counts of events have them until they are removed. */
  isRemovalDue: boolean;
}

let sites = 0;

export interface Fault {
  /** Number of the operation after which product and model differ, from 0. */
  step: number;
  /** Which answer is wrong. */
  about: string;
  says: string;
}

/** Carries out the operations on a site of its own, and compares product and model after each of them. Undefined when they agree. */
export async function findFault(product: Product, list: readonly Operation[]): Promise<Fault | undefined> {
  const site = `site-${++sites}`;
  const run: Run = { product, site, history: [], sent: [], decisions: [], isRemovalDue: false };
  await product.open(site);
  let cutAfter: number | undefined;
  for (const [step, operation] of list.entries()) {
    // Loaders ask every two seconds who was erased, and no two decisions are made at once.
    product.passTime(3_000);
    if (operation.do === "cut") {
      cutAfter = operation.after;
      continue;
    }
    await carryOut(run, operation);
    // Audiences are worked out now and then, as by a worker that has more to do.
    const isThorough = step % 3 === 2 || step === list.length - 1;
    if (cutAfter !== undefined) await product.settleCutOff(isThorough, cutAfter);
    cutAfter = undefined;
    await product.settle(isThorough);
    const fault = await compare(run, isThorough);
    if (fault === undefined) continue;
    return { ...fault, step, says: `after step ${step + 1} (${operation.do}) on ${site}, ${fault.says}` };
  }
  return undefined;
}

/** Lets everything come in as it stands in a history without erasures, and compares once. */
export async function findFaultAfter(product: Product, history: readonly HistoryEntry[]): Promise<string | undefined> {
  const site = `site-${++sites}`;
  await product.open(site);
  const waiting: PersonEvent[] = [];
  const accept = () => product.accept(site, waiting.splice(0));
  for (const entry of history) {
    if (entry.what === "event") waiting.push(entry.event);
    if (entry.what !== "decision") continue;
    await accept();
    product.passTime(1);
    await product.decide(site, entry.decision);
  }
  await accept();
  await product.settle(true);
  const run = { product, site, history: [...history], sent: [], decisions: [], isRemovalDue: false };
  return (await compare(run, true))?.says;
}

/** Fewer operations, and fewer events in them, that fail as well: as few as can be found while `mayGoOn`. */
export async function shrink(
  list: readonly Operation[],
  fault: Fault,
  find: (list: readonly Operation[]) => Promise<Fault | undefined>,
  mayGoOn: () => boolean,
): Promise<{ list: readonly Operation[]; fault: Fault }> {
  let least = { list: list.slice(0, fault.step + 1), fault };
  for (let hasShrunk = true; hasShrunk;) {
    hasShrunk = false;
    for (const candidate of smallerThan(least.list)) {
      if (!mayGoOn()) return least;
      const found = await find(candidate);
      if (found?.about !== fault.about) continue;
      least = { list: candidate.slice(0, found.step + 1), fault: found };
      hasShrunk = true;
      break;
    }
  }
  return least;
}

function* smallerThan(list: readonly Operation[]): Generator<Operation[]> {
  for (let size = Math.ceil(list.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
    for (let at = 0; at + size < list.length; at += size) yield list.toSpliced(at, size);
  for (const [at, operation] of list.entries())
    if (operation.do === "send" && operation.events.length > 1)
      for (const [i] of operation.events.entries())
        yield list.with(at, { do: "send", events: operation.events.toSpliced(i, 1) });
}

async function compare(
  { product, site, history, isRemovalDue }: Run,
  isThorough: boolean,
): Promise<Omit<Fault, "step"> | undefined> {
  const { clickhouse } = product;
  const model = readHistory(history);
  const atoms = await readAtoms(clickhouse, site);
  const faults = faultsOfAtoms(model, atoms);
  if (faults.length > 0) return { about: "what is stored", says: faults.join("; ") };
  const is = await askProduct(clickhouse, site, product.now(), isThorough);
  const should = askModel(model, atoms, product.now());
  // Counts of events have whoever was erased until the rows are removed.
  if (isRemovalDue) delete is.eventsByDay;
  // Where the model leaves it open, the rule has a test of its own.
  const { consent } = is;
  if (consent)
    is.consent = Object.fromEntries(
      Object.keys(should.consent).map((person) => [person, consent[Number(person)] ?? false]),
    );
  const about = (Object.keys(is) as (keyof Answers)[]).find((name) => textOf(is[name]) !== textOf(should[name]));
  return about && { about, says: `${about} is\n  ${textOf(is[about])}\nand should be\n  ${textOf(should[about])}` };
}

async function carryOut(run: Run, operation: Operation): Promise<void> {
  const { product, site, history, sent, decisions } = run;
  const accept = async (events: readonly PersonEvent[]): Promise<void> => {
    await product.accept(site, events);
    history.push(...events.map((event) => ({ what: "event" as const, event })));
  };
  const decide = async (decision: PersonDecision): Promise<void> => {
    await product.decide(site, decision);
    decisions.push(decision);
    history.push({ what: "decision", decision });
  };
  const id = randomUUID();
  switch (operation.do) {
    case "send": {
      const before = sent.length;
      for (const what of operation.events) {
        // Numbered one by one: times never tie, as they hardly do in life.
        const event = eventOf(what, sent, product.now() - 2_000 + sent.length);
        if (event !== undefined) sent.push({ ...event, id: `${site}-m${sent.length}` });
      }
      return accept(sent.slice(before));
    }
    case "sendAgain":
      return accept(sent.slice(operation.which % Math.max(sent.length, 1)).slice(0, 1));
    case "cut":
      return undefined;
    case "flag": {
      const atoms = await readAtoms(product.clickhouse, site);
      const event = sent.filter((one) => atoms.has(one.id)).at(operation.which % Math.max(atoms.size, 1));
      if (event === undefined) return undefined;
      const { flag, isSet } = operation;
      await product.flag(site, atoms.get(event.id)!, flag, isSet);
      history.push({ what: "flag", of: event.id, flag, isSet });
      return undefined;
    }
    case "restart":
      return operation.part === "loader" ? product.restartLoader() : product.restartWorker();
    case "passTime":
      return product.passTime(operation.days * dayMs);
    case "merge": {
      const [left, right] = [nodes[operation.left]!, nodes[operation.right]!];
      return left === right ? undefined : decide({ id, action: "merge", left, right });
    }
    case "unmerge": {
      const stated = edgesOf(run);
      const edges = operation.which.flatMap((which) => stated[which % Math.max(stated.length, 1)] ?? []);
      return edges.length === 0 ? undefined : decide({ id, action: "unmerge", edges });
    }
    case "undo": {
      const undone = decisions.at(-1 - operation.which);
      return undone && decide({ id, action: "undo", undoes: undone.id });
    }
    case "configure": {
      const rules = { ...defaultRules, ...someRules[operation.rules % someRules.length] };
      product.configure(site, rules);
      history.push({ what: "rules", rules });
      return;
    }
    case "erase": {
      const atoms = await readAtoms(product.clickhouse, site);
      const event = sent.filter((one) => atoms.has(one.id)).at(operation.which % Math.max(atoms.size, 1));
      if (event !== undefined) {
        await product.erase(site, atoms.get(event.id)!);
        history.push({ what: "erasure", of: event.id, at: product.now() });
        run.isRemovalDue = true;
      }
      if (!operation.isRemoved) return;
      await product.purge();
      run.isRemovalDue = false;
    }
  }
}

/** Every edge that events and decisions of this run stated. */
function edgesOf({ sent, decisions }: Run): PersonEdge[] {
  const ofEvents = sent.flatMap((event): PersonEdge[] => {
    const { user, device, own } = nodesOf(event, []);
    const contacts = contactsOf(event, []).map(([kind, other]) => ({ kind, node: own ?? "", other }));
    const alias =
      event.type === "alias" && user ? [{ kind: "alias", node: user, other: event.previousId ?? "" } as const] : [];
    return [...(user && device ? [{ kind: "login", node: device, other: user } as const] : []), ...alias, ...contacts];
  });
  const manual = decisions.flatMap((decision) =>
    decision.action === "merge" ? manualEdge(decision.left, decision.right) : [],
  );
  return [...ofEvents, ...manual];
}

const nodes = ["user:u1", "user:u2", "user:u3", "device:d1", "device:d2", "device:d3", "device:d4"];

const few = { max: 1, withinDays: 20 };
const someRules: readonly Partial<IdentityRules>[] = [
  {},
  { trustsForms: true },
  { aliasJoinsUsers: false },
  { maxAtoms: 2 },
  { unique: ["phone"], trustsForms: true },
  { priority: ["phone", "email"], unique: ["email"] },
  { priority: ["phone"] },
  { blocked: [" U1", "an@shop.example"] },
  { limits: { ...defaultRules.limits, user_id: few } },
  { limits: { ...defaultRules.limits, email: few, phone: few }, trustsForms: true },
];

const dayMs = 86_400_000;
/** With keys in order, so that equal answers are equal texts. */
const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
