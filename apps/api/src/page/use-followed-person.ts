import { useEffect, useState } from "react";
import type { LiveEvent } from "../schemas.ts";

const stayMs = 4_000;

/** The person chosen by hand, else the newest one; that one stays for some seconds, so that a profile can be read while many come by. */
export function useFollowedPerson(events: readonly LiveEvent[]) {
  const [chosen, select] = useState<number>();
  const [newest, setNewest] = useState<{ person: number; at: number }>();
  const candidate = events.find(({ person, bot }) => person !== null && bot === "")?.person ?? undefined;
  useEffect(() => {
    if (candidate === undefined || candidate === newest?.person) return;
    const follow = () => setNewest({ person: candidate, at: Date.now() });
    const timer = window.setTimeout(follow, newest === undefined ? 0 : Math.max(0, newest.at + stayMs - Date.now()));
    return () => window.clearTimeout(timer);
  }, [candidate, newest]);
  return { person: chosen ?? newest?.person, isFollowing: chosen === undefined, select };
}
