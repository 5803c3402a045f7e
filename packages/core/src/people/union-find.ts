export interface UnionFind {
  find(member: string): string;
  /** The smaller representative stays, so that the outcome does not depend on the order. */
  join(a: string, b: string): void;
}

export function createUnionFind(): UnionFind {
  const parents = new Map<string, string>();
  const find = (member: string): string => {
    let root = member;
    for (let parent = parents.get(root); parent !== undefined; parent = parents.get(root)) root = parent;
    // Chains of aliases are long: whoever asks once shortens them.
    for (let at = member; at !== root;) {
      const next = parents.get(at)!;
      parents.set(at, root);
      at = next;
    }
    return root;
  };
  return {
    find,
    join(a, b) {
      const [left, right] = [find(a), find(b)];
      if (left === right) return;
      if (left < right) parents.set(right, left);
      else parents.set(left, right);
    },
  };
}
