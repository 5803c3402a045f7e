import { nearestName } from "../config/nearest-name.ts";
import type { AudienceDefinition, Condition } from "./audience-definition.ts";
import type { AudienceFault } from "./parse-audience.ts";

export interface Known {
  /** By id. */
  audiences: ReadonlyMap<string, AudienceDefinition>;
  /** By name. */
  computedTraits: ReadonlyMap<string, unknown>;
  /** Ids of those that are there and may not be named here, since they are anonymous. */
  anonymous?: ReadonlySet<string>;
}

interface Reference {
  kind: "audience" | "computedTrait";
  name: string;
  path: string;
}

/** How many audiences may stand on one another. */
const maxChain = 10;

const namesIn = (definition: AudienceDefinition, wanted: Reference["kind"]): string[] => [
  ...new Set(
    referencesIn(definition)
      .filter(({ kind }) => kind === wanted)
      .map(({ name }) => name),
  ),
];

/** Ids of the other audiences that a definition names itself, each once. */
export const audiencesIn = (definition: AudienceDefinition): string[] => namesIn(definition, "audience");

/** Names of the computed traits that a definition names itself, each once. */
export const computedTraitsIn = (definition: AudienceDefinition): string[] => namesIn(definition, "computedTrait");

/**
 * What a definition names and is not there, or leads back to itself through others.
 * @param id of the audience that it is going to be; undefined when it has none yet.
 */
export function findReferenceFaults(definition: AudienceDefinition, known: Known, id?: string): AudienceFault[] {
  const faults: AudienceFault[] = [];
  for (const { kind, name, path } of referencesIn(definition)) {
    const there = kind === "audience" ? known.audiences : known.computedTraits;
    const isItself = kind === "audience" && name === id;
    if (kind === "audience" && known.anonymous?.has(name) === true && !isItself) {
      faults.push({
        path,
        message:
          "is an anonymous audience: only another anonymous one may stand on it, since this one names its people.",
      });
    } else if (!there.has(name) && !isItself) {
      const nearest = nearestName(name, [...there.keys()]);
      const noun = kind === "audience" ? "audience" : "computed trait";
      const hint =
        nearest !== undefined
          ? `did you mean \`${nearest}\`?`
          : there.size === 0
            ? "there is none yet."
            : `there are ${[...there.keys()].slice(0, 20).join(", ")}.`;
      faults.push({ path, message: `is the name of no ${noun}: ${hint}` });
    } else if (kind === "audience") {
      const message = chainFault(name, known.audiences, id);
      if (message !== undefined) faults.push({ path, message });
    }
  }
  return faults;
}

/** What is wrong with where a reference leads; undefined when nothing. */
function chainFault(start: string, audiences: Known["audiences"], id: string | undefined): string | undefined {
  let fault: string | undefined;
  // Those that were looked through lead to no fault: each is looked at once, however many ways lead to it.
  const depths = new Map<string, number>();
  const depthOf = (name: string, chain: readonly string[]): number => {
    const via = [...chain, name];
    if (name === id || chain.includes(name)) {
      fault ??= `leads back to where it came from: ${[...(id === undefined ? [] : [id]), ...via].join(" → ")}. An audience cannot stand on itself.`;
      return 0;
    }
    if (via.length > maxChain)
      fault ??= `stands on more than ${maxChain} audiences, one on another: ${via.join(" → ")}.`;
    const found = depths.get(name);
    if (found !== undefined && chain.length + found <= maxChain) return found;
    const definition = audiences.get(name);
    const below = definition === undefined ? [] : audiencesIn(definition);
    const depth = 1 + Math.max(0, ...below.map((next) => (fault === undefined ? depthOf(next, via) : 0)));
    depths.set(name, depth);
    if (definition === undefined) fault ??= `leads to ${via.join(" → ")}, which is not there.`;
    // Found through a shorter way before, it may be too deep by this one.
    if (via.length + depth - 1 > maxChain)
      fault ??= `stands on more than ${maxChain} audiences, one on another: ${via.join(" → ")} ….`;
    return depth;
  };
  depthOf(start, []);
  return fault;
}

function referencesIn({ people }: AudienceDefinition): Reference[] {
  const found: Reference[] = [];
  const walk = (condition: Condition, path: string): void => {
    if ("all" in condition) condition.all.forEach((each, index) => walk(each, `${path}.all[${index}]`));
    else if ("any" in condition) condition.any.forEach((each, index) => walk(each, `${path}.any[${index}]`));
    else if ("not" in condition) walk(condition.not, `${path}.not`);
    else if ("audience" in condition)
      found.push({ kind: "audience", name: condition.audience, path: `${path}.audience` });
    else if ("computedTrait" in condition)
      found.push({ kind: "computedTrait", name: condition.computedTrait, path: `${path}.computedTrait` });
  };
  walk(people, "people");
  return found;
}
