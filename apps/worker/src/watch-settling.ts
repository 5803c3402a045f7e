import type { IdentityStore } from "@polder/core";

/** Says whether it is settled who is one person with whom, as far as anything was stored when this was called. */
export async function watchSettling(store: Pick<IdentityStore, "ends" | "position">): Promise<() => Promise<boolean>> {
  const { ends } = await store.ends(undefined);
  return async () => {
    const position = await store.position();
    const isSettled = (what: "atoms" | "edges"): boolean =>
      [...ends[what]].every(([key, end]) => end <= (position?.[what].get(key) ?? -1));
    return isSettled("atoms") && isSettled("edges");
  };
}
