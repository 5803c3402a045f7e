import { useEffect, useRef, useState } from "react";
import type { LiveState } from "./live-state.ts";

const everyMs = 15_000;

/** For screen readers: what came in, in one sentence, every quarter of a minute at most. Silent while paused and while nothing happens. */
export function Announcer({ live }: { live: LiveState }) {
  const [words, setWords] = useState("");
  const latest = useRef(live);
  latest.current = live;
  useEffect(() => {
    let saidId: string | undefined;
    const timer = window.setInterval(() => {
      const { events, isPaused } = latest.current;
      const index = saidId === undefined ? 0 : events.findIndex(({ id }) => id === saidId);
      const count = index < 0 ? events.length : index;
      saidId = events[0]?.id;
      if (isPaused || count === 0) return;
      const people = new Set(events.slice(0, count).map(({ person }) => person)).size;
      setWords(
        `${count} new ${count === 1 ? "event" : "events"}, ${people === 1 ? "one person" : `${people} people`}.`,
      );
    }, everyMs);
    return () => window.clearInterval(timer);
  }, []);
  return (
    <p className="unseen" role="status" aria-live="polite">
      {words}
    </p>
  );
}
