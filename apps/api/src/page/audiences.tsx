import { useEffect, useRef, useState } from "react";
import type { AudiencesToday } from "../schemas.ts";
import { countryName, eventName, formatCount } from "./format.ts";

const shown = [
  ["channel", "Channel"],
  ["page_group", "Page group"],
  ["event", "Event"],
  ["device", "Device"],
  ["country", "Country"],
  ["campaign", "Campaign"],
] as const;

const wordsOf: Partial<Record<string, (value: string) => string>> = { country: countryName, event: eventName };

/** Unique people of today by value. A merge makes a number smaller: two identities were one person. */
export function Audiences({ audiences }: { audiences: AudiencesToday | undefined }) {
  const dimensions = new Map(audiences?.dimensions.map(({ dimension, values }) => [dimension, values]));
  return (
    <section className="card audiences" aria-labelledby="audiences-title">
      <div className="title">
        <h2 id="audiences-title">People today</h2>
        <p>each counted once, however many devices they use</p>
      </div>
      <div className="columns">
        {shown.map(([dimension, title]) => {
          const values = dimensions.get(dimension) ?? [];
          if (values.length === 0) return null;
          const most = Math.max(1, ...values.map(({ people }) => people));
          return (
            <table key={dimension}>
              <caption className="unseen">{title}</caption>
              <thead>
                <tr>
                  <th scope="col">{title}</th>
                  <th scope="col">people</th>
                  <th scope="col">events</th>
                </tr>
              </thead>
              <tbody>
                {values.slice(0, 8).map(({ value, people, events }) => (
                  <tr key={value}>
                    <th scope="row">
                      <Bar share={people / most} />
                      <span>{(wordsOf[dimension] ?? String)(value)}</span>
                    </th>
                    <td>
                      <Changing value={people} />
                    </td>
                    <td className="hint">{formatCount(events)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          );
        })}
      </div>
    </section>
  );
}

function Bar({ share }: { share: number }) {
  return (
    <svg className="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect width={share * 100} height="10" />
    </svg>
  );
}

/** A number that lights up for a moment when it changes. */
export function Changing({ value }: { value: number }) {
  const before = useRef(value);
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    if (before.current !== value) setChanges((count) => count + 1);
    before.current = value;
  }, [value]);
  return (
    <span key={changes} className={changes > 0 ? "changed" : undefined}>
      {formatCount(value)}
    </span>
  );
}
