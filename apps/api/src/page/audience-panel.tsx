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
                  <Change
                    person={person === null ? null : personNow(live.people, person)}
                    audience={names.get(audience) ?? audience}
                    change={change}
                    reason={reason}
                  />
                </li>
              ))}
            </ol>
          )}
        </div>
      </div>
    </section>
  );
}

type ChangeProps = { person: number | null; audience: string; change: string; reason: string };

/** People are named as they are known now: who was merged away bears the number of the one that goes on. */
function Change({ person, audience, change, reason }: ChangeProps) {
  if (reason === "merged" && change === "exit" && person !== null)
    return (
      <>
        Somebody in <b>{audience}</b> became part of person {person}
      </>
    );
  return (
    <>
      {person === null ? "Somebody who was erased" : `Person ${person}`} {change === "enter" ? "came into" : "left"}{" "}
      <b>{audience}</b>
      {reason !== change && <span className="hint"> ({reason})</span>}
    </>
  );
}
