import type { ReactNode } from "react";
import type { ProfileAnswer } from "../profiles/profile-schemas.ts";
import { countryName, eventTitle, formatAge, formatCount, formatMoment, formatMoney, formatWhen } from "./format.ts";

type ProfileProps = {
  profile: ProfileAnswer | undefined;
  timezone: string;
  now: number;
  isFollowing: boolean;
  onFollow: () => void;
};

export function ProfilePanel({ profile, timezone, now, isFollowing, onFollow }: ProfileProps) {
  if (profile === undefined) {
    return (
      <section className="card profile" aria-labelledby="profile-title">
        <h2 id="profile-title">Profile</h2>
        <p className="hint">
          Nobody gave consent for a profile yet. Events without it, and those of bots, are counted, and belong to
          nobody. As soon as a visitor says yes, their profile is built here.
        </p>
      </section>
    );
  }
  const name =
    profile.traits.find((trait) => trait.name === "name")?.value ??
    profile.identifiers.find(({ kind }) => kind === "user_id")?.value;
  return (
    <section className="card profile" aria-labelledby="profile-title">
      <div className="title">
        <h2 id="profile-title">
          Person {profile.person}
          {name !== undefined && <span> {name}</span>}
        </h2>
        {isFollowing ? (
          <p>the newest</p>
        ) : (
          <button type="button" onClick={onFollow}>
            Follow the newest
          </button>
        )}
      </div>
      <p className="hint">
        Last seen {formatAge(now - profile.lastSeen)} ago, first {formatMoment(profile.firstSeen, timezone)}
      </p>
      <dl className="counters">
        <Counter label="events" value={profile.counters.events} />
        <Counter label="pages" value={profile.counters.pageViews} />
        <Counter label="clicks" value={profile.counters.clicks} />
        <Counter label="visits" value={profile.counters.sessions} />
        <Counter label="orders" value={profile.counters.orders} />
      </dl>
      {profile.revenue.length > 0 && (
        <p className="revenue">
          {profile.revenue.map(({ amount, currency }) => formatMoney(amount, currency)).join(" + ")} spent
        </p>
      )}
      <Part title="Known as">
        <ul className="ids">
          {profile.identifiers
            .filter(({ value }) => value !== "")
            .map(({ kind, value, verification }) => (
              <li key={kind + value}>
                <span>{identifierWords[kind]}</span> <code>{value}</code>
                {!verification.isConfirmed && <span className="hint">not confirmed</span>}
              </li>
            ))}
        </ul>
      </Part>
      <Part title="Traits">
        {profile.traits.length === 0 ? (
          <p className="hint">None stated yet: a form or a login adds them.</p>
        ) : (
          <dl className="traits">
            {profile.traits.map((trait) => (
              <div key={trait.name}>
                <dt>{trait.name}</dt>
                <dd>
                  {trait.value}
                  <span className="hint">{traitWords(trait)}</span>
                </dd>
              </div>
            ))}
          </dl>
        )}
      </Part>
      <Part title="Came by">
        <dl className="touches">
          <div>
            <dt>first</dt>
            <dd>{touchWords(profile.firstTouch)}</dd>
          </div>
          <div>
            <dt>last</dt>
            <dd>{touchWords(profile.lastTouch)}</dd>
          </div>
        </dl>
      </Part>
      {profile.devices.length > 0 && (
        <Part title="Devices">
          <ul className="plain">
            {profile.devices.map((device) => (
              <li key={Object.values(device).join()}>
                {[device.device, device.browser, device.os, countryName(device.country)].filter(Boolean).join(" · ")}
              </li>
            ))}
          </ul>
        </Part>
      )}
      {profile.consent.length > 0 && (
        <Part title="Consent">
          <ul className="plain">
            {profile.consent.map(({ time, choices }) => (
              <li key={time}>
                <time dateTime={new Date(time).toISOString()}>{formatMoment(time, timezone)}</time>{" "}
                {choiceWords(choices)}
              </li>
            ))}
          </ul>
        </Part>
      )}
      <Part title="Timeline">
        <ol className="timeline">
          {profile.timeline.slice(0, 15).map((event) => (
            <li key={event.id}>
              <time dateTime={new Date(event.time).toISOString()}>{formatWhen(event.time, now, timezone)}</time>
              <span>
                {eventTitle(event)} <span className="hint">{event.urlPath}</span>
              </span>
            </li>
          ))}
        </ol>
      </Part>
    </section>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="part">
      <h3>{title}</h3>
      {children}
    </div>
  );
}

function Counter({ label, value }: { label: string; value: number }) {
  return (
    <div>
      <dd>{formatCount(value)}</dd>
      <dt>{label}</dt>
    </div>
  );
}

const traitWords = (trait: ProfileAnswer["traits"][number]): string =>
  [originWords(trait.origin), trait.class, `for ${trait.purpose}`, trait.isPersonal ? "personal" : ""]
    .filter(Boolean)
    .join(" · ");

const originWords = (origin: string): string =>
  ({ observed: "observed", declared: "declared by themselves", partner: "from a partner", third_party: "third party" })[
    origin
  ] ?? origin;

const identifierWords = { user_id: "user id", anonymous_id: "device id", email: "e-mail", phone: "telephone" };

function touchWords(touch: ProfileAnswer["firstTouch"]): string {
  if (touch.channel === "") return "not known";
  const campaign = [touch.utmSource, touch.utmMedium, touch.utmCampaign].filter(Boolean).join(" / ");
  return [touch.channel, touch.referrerHost, campaign, touch.landingPage && `at ${touch.landingPage}`]
    .filter(Boolean)
    .join(" · ");
}

function choiceWords(choices: ProfileAnswer["consent"][number]["choices"]): string {
  const byState = new Map<string, string[]>();
  for (const { purpose, state } of choices) {
    if (purpose !== "necessary") byState.set(state, [...(byState.get(state) ?? []), purpose]);
  }
  return [...byState].map(([state, purposes]) => `${state}: ${purposes.join(", ")}`).join("; ");
}
