import { useEffect, useRef, useState } from "react";
import type { AudiencesToday, ProfileAnswer, SummaryAnswer } from "../schemas.ts";

/** What the server answers, by what is asked for. */
interface Answers {
  audiences: AudiencesToday;
  profile: ProfileAnswer;
  summary: SummaryAnswer;
}

/**
 * The answer at a URL, asked for anew when `version` changes, at most every `everyMs`. Keeps the last answer while the next is on its way;
 * undefined before the first one, and when the server says no. The answer of the URL before is kept until there is another.
 */
export function useAnswer<Kind extends keyof Answers>(
  _kind: Kind,
  url: string | undefined,
  version: unknown,
  everyMs: number,
): Answers[Kind] | undefined {
  const [held, setHeld] = useState<Answers[Kind]>();
  const lastAt = useRef({ url: "", at: 0 });
  useEffect(() => {
    if (url === undefined) return;
    const since = Date.now() - (lastAt.current.url === url ? lastAt.current.at : 0);
    const timer = window.setTimeout(
      () => {
        lastAt.current = { url, at: Date.now() };
        fetch(url)
          .then(async (answer) => (answer.ok ? ((await answer.json()) as Answers[Kind]) : undefined))
          .then(
            (answer) => {
              if (lastAt.current.url === url) setHeld(answer);
            },
            () => {}, // away: what is shown stays
          );
      },
      Math.max(0, everyMs - since),
    );
    return () => window.clearTimeout(timer);
  }, [url, version, everyMs]);
  return held;
}
