import { useEffect, useRef, useState } from "react";
import type { AudienceList } from "../audiences/audience-schemas.ts";
import type { ProfileAnswer } from "../profiles/profile-schemas.ts";
import type { AudiencesToday, SummaryAnswer } from "../schemas.ts";

/** What the server answers, by what is asked for. */
interface Answers {
  audienceList: AudienceList;
  audiences: AudiencesToday;
  profile: ProfileAnswer;
  summary: SummaryAnswer;
}

/**
 * The answer at a URL, asked for anew when `version` changes, at most every `everyMs`. Keeps the last answer while the next is on its way;
 * undefined before the first one, and when the server says no. The answer of the URL before is kept until there is another.
 * The views of an insert fill one after the other, so an event can be listed before its person or its count can be found:
 * a no is asked again, and a yes once more, as soon as `everyMs` is over.
 */
export function useAnswer<Kind extends keyof Answers>(
  _kind: Kind,
  url: string | undefined,
  version: unknown,
  everyMs: number,
): Answers[Kind] | undefined {
  const [held, setHeld] = useState<Answers[Kind]>();
  const lastAt = useRef({ url: "", at: 0 });
  const askedAgain = useRef("");
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (url === undefined) return;
    const since = Date.now() - (lastAt.current.url === url ? lastAt.current.at : 0);
    const timer = window.setTimeout(
      () => {
        lastAt.current = { url, at: Date.now() };
        const askAgain = () => setRound((before) => before + 1);
        fetch(url)
          .then(async (answer) => {
            const body = answer.ok ? ((await answer.json()) as Answers[Kind]) : undefined;
            if (lastAt.current.url !== url) return;
            setHeld(body);
            const question = `${url} ${String(version)}`;
            if (answer.status === 401 || askedAgain.current === question) return;
            if (answer.ok) askedAgain.current = question;
            askAgain();
          })
          .catch(askAgain); // away: what is shown stays
      },
      Math.max(0, everyMs - since),
    );
    return () => window.clearTimeout(timer);
  }, [url, version, everyMs, round]);
  return held;
}
