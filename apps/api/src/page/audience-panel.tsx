import type { AudienceList } from "../audiences/audience-schemas.ts";
import { Changing } from "./audiences.tsx";
import { formatAge, formatCount } from "./format.ts";
import { personNow, type LiveState } from "./live-state.ts";

type PanelProps = { list: AudienceList | undefined; live: LiveState; now: number };

const shownChanges = 6;

/** How many are in each audience, and who came or left last. Not there for a site without audiences. */
export function AudiencePanel({ list, live, now }: PanelProps) {
  const audiences = (list?.audiences ?? []).filter(({ state }) => state !== "archived");
  if (audiences.length === 0) return null;
  const names = new Map(audiences.map(({ id, name }) => [id, name]));
  const changes = live.audienceChanges.slice(0, shownChanges);
  return (
    <section className="card memberships" aria-labelledby="memberships-title">
      <div className="title">
        <h2 id="memberships-title">Audiences</h2>
        <p>who is in which, worked out every few seconds</p>
      </div>
      <div className="columns">
        <table>
          <caption className="unseen">Audiences and how many people are in each</caption>
          <thead>
            <tr>
              <th scope="col">Audience</th>
              <th scope="col">people</th>
            </tr>
          </thead>
          <tbody>
            {audiences.map(({ id, name, people, fewerThan, state }) => (
              <tr key={id}>
                <th scope="row">
                  <span>{name}</span>
                  {state === "paused" && <span className="hint"> paused</span>}
                </th>
                <td>
                  {people === null ? (
                    <span className="hint">{fewerThan === null ? "–" : `fewer than ${formatCount(fewerThan)}`}</span>
                  ) : (
                    <Changing value={people} />
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        <div>
          <h3>Last changes</h3>
          {changes.length === 0 ? (
            <p className="hint">Nobody came or left since this page was opened.</p>
          ) : (
            <ol className="changes">
              {changes.map(({ seq, audience, person, change, reason, at }) => (
                <li key={seq}>
                  <time dateTime={new Date(at).toISOString()}>{formatAge(now - at)} ago</time>{" "}
                  {person === null ? "Somebody who was erased" : `Person ${personNow(live.people, person)}`}{" "}
                  {change === "enter" ? "came into" : "left"} <b>{names.get(audience) ?? audience}</b>
                  {reason !== change && <span className="hint"> ({reason})</span>}
                </li>
              ))}
            </ol>
          )}
        </div>
      </div>
    </section>
  );
}
