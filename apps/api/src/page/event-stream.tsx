import type { LiveEvent } from "../schemas.ts";
import { countryName, eventTitle, formatCount, formatMoney, formatWhen } from "./format.ts";
import type { LiveState } from "./live-state.ts";
import { Purposes } from "./purposes.tsx";

type StreamProps = {
  live: LiveState;
  timezone: string;
  now: number;
  selected: number | undefined;
  onSelect: (person: number) => void;
};

export function EventStream({ live, timezone, now, selected, onSelect }: StreamProps) {
  return (
    <section className="card stream" aria-labelledby="stream-title">
      <div className="title">
        <h2 id="stream-title">Events as they arrive</h2>
        <p>
          {live.hasGap && "Some were missed while the connection was away. "}
          {live.omitted > 0 && `${formatCount(live.omitted)} more came too fast to be listed; they are counted.`}
        </p>
      </div>
      <div className="scroll" tabIndex={0} role="group" aria-labelledby="stream-title">
        <table role="table">
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col">Event</th>
              <th scope="col">Page</th>
              <th scope="col">Person</th>
              <th scope="col">May be used for</th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            {live.events.map((event) => (
              <Row
                key={event.id}
                event={event}
                timezone={timezone}
                now={now}
                isSelected={event.person === selected}
                onSelect={onSelect}
              />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

// Roles are said aloud: on a phone rows are laid out as a grid, and browsers then forget that they are rows.
type RowProps = {
  event: LiveEvent;
  timezone: string;
  now: number;
  isSelected: boolean;
  onSelect: (person: number) => void;
};

function Row({ event, timezone, now, isSelected, onSelect }: RowProps) {
  const { person } = event;
  return (
    <tr role="row" className={isSelected ? "selected" : undefined}>
      <td role="cell" className="time">
        <time dateTime={new Date(event.time).toISOString()}>{formatWhen(event.time, now, timezone)}</time>
      </td>
      <td role="cell" className={`what ${event.type}`}>
        {eventTitle(event)}
        {event.currency !== "" && <span className="money"> {formatMoney(event.amount, event.currency)}</span>}
      </td>
      <td role="cell" className="path" title={[event.urlPath, event.pageTitle].filter(Boolean).join(" · ")}>
        {event.urlPath === "" ? <span className="none">–</span> : event.urlPath}
      </td>
      <td role="cell" className="who">
        {event.bot !== "" ? (
          <span className="bot" title={`${event.bot}, a bot: nobody's`}>
            {event.bot}
          </span>
        ) : person === null ? (
          <span className="none">nobody</span>
        ) : (
          <button type="button" aria-pressed={isSelected} onClick={() => onSelect(person)}>
            <span className="unseen">Show person </span>
            {person}
          </button>
        )}
      </td>
      <td role="cell" className="allowed">
        <Purposes purposes={event.purposes} basis={event.basis} />
      </td>
      <td role="cell" className="from">
        {event.country !== "" && <abbr title={countryName(event.country)}>{event.country}</abbr>} {event.device}
      </td>
    </tr>
  );
}
