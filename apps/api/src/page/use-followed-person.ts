import { useEffect, useState } from "react";
import { personNow, type LiveState } from "./live-state.ts";

const stayMs = 4_000;

/**
 * The person chosen by hand, else the newest one; that one stays for some seconds, so that a profile can be read while many come by.
 * Whoever was absorbed by another person is followed there.
 */
export function useFollowedPerson({ events, people }: Pick<LiveState, "events" | "people">) {
  const [chosen, setChosen] = useState<number>();
  const [newest, setNewest] = useState<{ person: number; at: number }>();
  const candidate = events.find(({ person, bot }) => person !== null && bot === "")?.person ?? undefined;
  useEffect(() => {
    if (candidate === undefined || candidate === newest?.person) return;
    const follow = () => setNewest({ person: candidate, at: Date.now() });
    const timer = window.setTimeout(follow, newest === undefined ? 0 : Math.max(0, newest.at + stayMs - Date.now()));
    return () => window.clearTimeout(timer);
  }, [candidate, newest]);
  const select = (person: number | undefined) => {
    setChosen(person);
    // Who asks for the newest means now, not when the one before has stayed long enough.
    if (person === undefined && candidate !== undefined) setNewest({ person: candidate, at: Date.now() });
  };
  const shown = chosen ?? newest?.person;
  return {
    person: shown === undefined ? undefined : personNow(people, shown),
    isFollowing: chosen === undefined,
    select,
  };
}
