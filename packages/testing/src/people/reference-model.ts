import { defaultRules, type IdentityRules, type PersonDecision, type PersonEvent } from "./person-event.ts";
import { nodesOf, resolvePeople, type AtomEvent } from "./resolve-people.ts";

/** What happened, in the order in which it came to the product. */
export type HistoryEntry =
  | { what: "event"; event: PersonEvent }
  | { what: "decision"; decision: PersonDecision }
  | { what: "rules"; rules: IdentityRules }
  /** Everything of the person whose event `of` is; asked for at a time in milliseconds. */
  | { what: "erasure"; of: string; at: number }
  /** The person of event `of` may not be used, or not for what is asked; or may again. Holds for the ids that they have now. */
  | { what: "flag"; flag: "restrict" | "object"; of: string; isSet: boolean };

/** By identifier and flag. unsure: of ids of somebody who was erased, until their rows are removed. */
export type Flags = ReadonlyMap<string, "set" | "unset" | "unsure">;

export interface ReferenceModel {
  /** What is left of it, without copies, and without what was erased. */
  events: readonly AtomEvent[];
  decisions: readonly PersonDecision[];
  rules: IdentityRules;
  /** For every atom one atom of its person. */
  people: ReadonlyMap<string, string>;
  /** The events of each person, by time. */
  eventsOf: ReadonlyMap<string, readonly AtomEvent[]>;
  /** Message ids of events that had to be dropped, since they happened before an erasure of whom they are about. */
  refused: ReadonlySet<string>;
  flags: Flags;
}

/** Goes through a history from its beginning. Nothing is carried from one call to the next, so nothing can drift. */
export function readHistory(history: readonly HistoryEntry[]): ReferenceModel {
  let events: AtomEvent[] = [];
  let decisions: PersonDecision[] = [];
  let rules = defaultRules;
  const seen = new Set<string>();
  const refused = new Set<string>();
  const flags = new Map<string, "set" | "unset" | "unsure">();
  const ownOf = (event: PersonEvent): string => nodesOf(event, rules.blocked).own ?? keyOf(event);
  const erasures: { at: number; nodes: ReadonlySet<string>; keys: ReadonlySet<string> }[] = [];

  for (const entry of history) {
    if (entry.what === "rules") rules = entry.rules;
    if (entry.what === "decision") decisions.push(entry.decision);
    if (entry.what === "event" && !seen.has(entry.event.id)) {
      const { event } = entry;
      const key = keyOf(event);
      if (erasures.some(({ at, nodes }) => event.time < at && nodes.has(ownOf(event)))) {
        refused.add(event.id);
        continue;
      }
      seen.add(event.id);
      events.push({ ...event, atom: `${key}${erasures.filter(({ keys }) => keys.has(key)).length}` });
    }
    if (entry.what === "flag") {
      const people = resolvePeople(events, decisions, rules);
      const person = people.get(events.find(({ id }) => id === entry.of)?.atom ?? "");
      for (const { userId, anonymousId, atom } of events) {
        // A user id that many send is nobody's by itself: with a device it is one identity.
        const isOwn = nodesOf({ userId, anonymousId }, rules.blocked).user !== undefined;
        const name = flagName(entry.flag, userId, isOwn ? "" : anonymousId);
        if (people.get(atom) === person) flags.set(name, entry.isSet ? "set" : "unset");
      }
    }
    if (entry.what === "erasure") {
      const people = resolvePeople(events, decisions, rules);
      const person = people.get(events.find(({ id }) => id === entry.of)?.atom ?? "");
      const isErased = ({ atom }: AtomEvent) => people.get(atom) === person;
      const gone = events.filter(isErased);
      const keys = new Set(gone.map(keyOf));
      const nodes = new Set(gone.map(ownOf));
      // A device that nobody else was seen with says who it is also where it only ever came with a user.
      for (const event of gone) {
        const { device } = nodesOf(event, rules.blocked);
        if (device && events.every((other) => other.anonymousId !== event.anonymousId || isErased(other)))
          nodes.add(device);
      }
      for (const name of gone.flatMap(flagNames)) if (flags.get(name) === "set") flags.set(name, "unsure");
      erasures.push({ at: entry.at, nodes, keys });
      events = events.filter((event) => !isErased(event));
      decisions = decisions.filter((decision) => !namesOneOf(decision, nodes));
    }
  }

  const people = resolvePeople(events, decisions, rules);
  const eventsOf = new Map<string, AtomEvent[]>();
  for (const event of events.toSorted((a, b) => a.time - b.time)) {
    const person = people.get(event.atom)!;
    eventsOf.set(person, [...(eventsOf.get(person) ?? []), event]);
  }
  return { events, decisions, rules, people, eventsOf, refused, flags };
}

const flagName = (flag: string, userId: string, anonymousId: string): string =>
  JSON.stringify([flag, userId, anonymousId]);
const flagNames = ({ userId, anonymousId }: PersonEvent): string[] =>
  ["restrict", "object"].flatMap((flag) => [flagName(flag, userId, anonymousId), flagName(flag, userId, "")]);

/** Whether some flag holds for whoever these events are of. */
export function isFlagged(events: readonly PersonEvent[], flags: Flags): "set" | "unsure" | undefined {
  const found = events.flatMap((event) => flagNames(event).map((name) => flags.get(name)));
  return found.includes("set") ? "set" : found.includes("unsure") ? "unsure" : undefined;
}

const keyOf = ({ anonymousId, userId }: PersonEvent): string => JSON.stringify([anonymousId, userId]);

/** Who comes back after an erasure is somebody new: what was decided about the ids before holds no more. */
function namesOneOf(decision: PersonDecision, nodes: ReadonlySet<string>): boolean {
  if (decision.action === "merge") return nodes.has(decision.left) || nodes.has(decision.right);
  return decision.action === "unmerge" && decision.edges.some(({ node, other }) => nodes.has(node) || nodes.has(other));
}
