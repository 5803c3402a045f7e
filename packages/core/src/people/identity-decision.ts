/** An edge by what it ties: `node` and `other` as they stand in {@link EdgeKey}'s text, whatever event said so. */
export interface EdgeKey {
  kind: "login" | "alias" | "email" | "phone" | "manual";
  /** `user:U` or `device:A`. login: the device; alias: the user that it names; email, phone: who states it; manual: the smaller one. */
  node: string;
  /** login: `user:U`; alias: the previous id; email, phone: the hash; manual: the other node. */
  other: string;
}

export type DecisionAction = "merge" | "unmerge" | "undo" | "dismiss";

/** What somebody decided about who is one person. Never changed once made: taking it back is a decision too. */
export interface IdentityDecision {
  /** A UUID. */
  id: string;
  site: string;
  /** Milliseconds since 1970. */
  at: number;
  action: DecisionAction;
  /** merge, dismiss: two nodes, `user:U` or `device:A`. Else empty. */
  left: string;
  right: string;
  /** unmerge: the edges that no longer hold, also when events say so again. */
  edges: readonly EdgeKey[];
  actor: string;
  reason: string;
  /** undo: the id of the decision that is taken back. Else empty. */
  undoes: string;
}

export const edgeKeyText = ({ kind, node, other }: EdgeKey): string => JSON.stringify([kind, node, other]);

export const manualKey = (left: string, right: string): EdgeKey =>
  left < right ? { kind: "manual", node: left, other: right } : { kind: "manual", node: right, other: left };

/** In the order in which they were made; the id settles what came in one millisecond. */
export const byMoment = (a: IdentityDecision, b: IdentityDecision): number =>
  a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

/** Those that nobody has taken back, oldest first. An undo that was itself undone takes nothing back. */
export function decisionsInForce(decisions: readonly IdentityDecision[]): IdentityDecision[] {
  const undoes = new Map<string, IdentityDecision[]>();
  for (const decision of decisions)
    if (decision.action === "undo") undoes.set(decision.undoes, [...(undoes.get(decision.undoes) ?? []), decision]);
  const known = new Map<string, boolean>();
  const isInForce = (id: string): boolean => {
    const found = known.get(id);
    if (found !== undefined) return found;
    known.set(id, true); // what takes itself back does not
    const answer = !(undoes.get(id) ?? []).some((undo) => undo.id !== id && isInForce(undo.id));
    known.set(id, answer);
    return answer;
  };
  return decisions.filter(({ id }) => isInForce(id)).toSorted(byMoment);
}

/** By the text of an edge's key: the decision that revoked it, or that made it, whichever is the latest about it. */
export function decidedEdges(decisions: readonly IdentityDecision[]): {
  revoked: ReadonlyMap<string, IdentityDecision>;
  manual: ReadonlyMap<string, { key: EdgeKey; decision: IdentityDecision }>;
} {
  const revoked = new Map<string, IdentityDecision>();
  const manual = new Map<string, { key: EdgeKey; decision: IdentityDecision }>();
  for (const decision of decisionsInForce(decisions)) {
    if (decision.action === "merge") {
      const key = manualKey(decision.left, decision.right);
      manual.set(edgeKeyText(key), { key, decision });
      revoked.delete(edgeKeyText(key));
    }
    if (decision.action !== "unmerge") continue;
    for (const key of decision.edges) {
      manual.delete(edgeKeyText(key));
      revoked.set(edgeKeyText(key), decision);
    }
  }
  return { revoked, manual };
}

/** Every node and contact that some decision names, in force or not. */
export function decidedNodes(decisions: readonly IdentityDecision[]): {
  nodes: ReadonlySet<string>;
  contacts: ReadonlySet<string>;
} {
  const nodes = new Set<string>();
  const contacts = new Set<string>();
  for (const { left, right, edges } of decisions) {
    for (const node of [left, right]) if (node !== "") nodes.add(node);
    for (const { kind, node, other } of edges) {
      nodes.add(node);
      if (kind === "email" || kind === "phone") contacts.add(`${kind}:${other}`);
      else if (kind === "alias") for (const type of ["user", "device"]) nodes.add(`${type}:${other}`);
      else nodes.add(other);
    }
  }
  return { nodes, contacts };
}
