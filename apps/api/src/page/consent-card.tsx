import { useEffect, useState } from "react";
import { shownPurposes } from "./format.ts";
import { readConsentHere, type ConsentHere } from "./read-consent-here.ts";

/** What this very browser said, read from the cookie of the shop on the same host: nothing is asked from the server for it. */
export function ConsentCard() {
  const [cookies, setCookies] = useState(() => document.cookie);
  useEffect(() => {
    // No event tells of a cookie that another port of this host has set.
    const timer = window.setInterval(() => setCookies(document.cookie), 500);
    return () => window.clearInterval(timer);
  }, []);
  const consent = readConsentHere(cookies);
  const { title, text } = describe(consent);
  return (
    <section className={`card consent-here is-${consent.kind}`} aria-labelledby="consent-title">
      <h2 id="consent-title">This browser</h2>
      <div role="status" aria-live="polite">
        <p className="verdict">{title}</p>
        <p>{text}</p>
      </div>
      <p className="source">
        Read from the cookie <code>polder_consent</code> of this host.
      </p>
    </section>
  );
}

function describe(consent: ConsentHere): { title: string; text: string } {
  switch (consent.kind) {
    case "none":
      return {
        title: "No choice yet: nothing is sent.",
        text: "Until somebody says yes here, no event leaves this browser and nothing is stored in it.",
      };
    case "refused":
      return {
        title: "This browser said no. Nothing is sent, nothing is stored.",
        text: `All it keeps is the no itself and the 30 days it was said in (from ${dayName(consent.since)}), the same for everyone who refuses. So none of its visits appear below.`,
      };
    case "granted": {
      const refused = shownPurposes.filter((purpose) => !consent.purposes.includes(purpose));
      const words = consent.purposes.length === 0 ? "nothing but what is necessary" : list(consent.purposes);
      return {
        title: `This browser said yes to ${words}.`,
        text:
          refused.length === 0
            ? "What happens in it appears below within two seconds."
            : `Not to ${list(refused)}: nothing of it is used for that.`,
      };
    }
  }
}

const list = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

const dayName = (at: number): string =>
  new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" }).format(at);
