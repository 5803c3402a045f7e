import type { ConsentLogRow } from "@polder/core";
import { purposes, underCurrentTexts, type ConsentState, type CurrentTexts, type Purpose } from "@polder/protocol";

export type States = { [P in Purpose]?: ConsentState };

interface Rules {
  currentTexts: CurrentTexts;
  grantLifetimeMs: number;
}

/**
 * What a visitor's choices on record come to now, for every purpose but `necessary`: the newest about each, `expired` when it was a yes that is too
 * old, `unset` when it was a yes to another text than today's. `links` in the order of the chain.
 */
export function stateOf(
  links: readonly ConsentLogRow[],
  { currentTexts, grantLifetimeMs }: Rules,
  nowMs: number,
): States {
  const states: States = {};
  const newestFirst = links.toSorted((a, b) => timeOf(b.at) - timeOf(a.at) || b.n - a.n);
  for (const purpose of purposes.slice(1)) {
    const link = newestFirst.find((each) => each["choice.purpose"].includes(purpose));
    states[purpose] = link === undefined ? "unset" : stateIn(link, purpose, currentTexts);
    const isOld = link !== undefined && nowMs - timeOf(link.at) > grantLifetimeMs;
    if (isOld && states[purpose] === "granted") states[purpose] = "expired";
  }
  return states;
}

function stateIn(link: ConsentLogRow, purpose: Purpose, current: CurrentTexts): ConsentState {
  const pairs = (names: readonly string[], values: readonly string[]): object =>
    Object.fromEntries(names.map((name, i) => [name, values[i]]));
  const stamp = {
    v: 1 as const,
    id: link.consent_id,
    purposes: pairs(link["choice.purpose"], link["choice.state"]),
    texts: pairs(link["text.purpose"], link["text.hash"]),
  };
  return underCurrentTexts(stamp, current).purposes[purpose] ?? "unset";
}

/** Of a time as ClickHouse writes it, in UTC. */
export const timeOf = (text: string): number => Date.parse(`${text.replace(" ", "T")}Z`);
