import { useEffect, useState } from "react";
import type { PageConfig } from "../schemas.ts";
import { Announcer } from "./announcer.tsx";
import { AudiencePanel } from "./audience-panel.tsx";
import { Audiences } from "./audiences.tsx";
import { ConsentCard } from "./consent-card.tsx";
import { EmptyState } from "./empty-state.tsx";
import { EventStream } from "./event-stream.tsx";
import { formatAge, formatCount } from "./format.ts";
import type { LiveState } from "./live-state.ts";
import { ProfilePanel } from "./profile-panel.tsx";
import { RateChart } from "./rate-chart.tsx";
import { TokenForm } from "./token-form.tsx";
import { useAnswer } from "./use-answer.ts";
import { useFollowedPerson } from "./use-followed-person.ts";
import { useLive } from "./use-live.ts";
import { useNow } from "./use-now.ts";

export function App({ config }: { config: PageConfig }) {
  const [siteId, setSiteId] = useState(config.sites[0]?.id);
  const site = config.sites.find(({ id }) => id === siteId);
  if (site === undefined) {
    return (
      <main className="lone">
        <h1>No site yet</h1>
        <p>
          Add one with <code>npx polder init</code>, or to <code>polder.config.json</code>.
        </p>
      </main>
    );
  }
  return <Site key={site.id} site={site} config={config} onSite={setSiteId} />;
}

/** Sizes of anonymous audiences, and audiences that are new, come without a message; and a change is told before its size is counted. */
const audienceListEveryMs = 5_000;

type SiteProps = { site: PageConfig["sites"][number]; config: PageConfig; onSite: (id: string) => void };

function Site({ site, config, onSite }: SiteProps) {
  const [live, dispatch] = useLive(site.id);
  const now = useNow(500) + live.clockOffset;
  const search = `site=${encodeURIComponent(site.id)}`;
  const newestId = live.events[0]?.id;
  const summary = useAnswer("summary", `/v1/summary?${search}`, `${newestId} ${live.joins}`, 2_000);
  const audiences = useAnswer("audiences", `/v1/audiences/today?${search}`, `${newestId} ${live.joins}`, 2_000);
  const audienceList = useAnswer(
    "audienceList",
    `/v1/audiences?${search}`,
    `${live.audienceChanges[0]?.seq} ${live.joins} ${Math.floor(now / audienceListEveryMs)}`,
    2_000,
  );
  const followed = useFollowedPerson(live);
  const profile = useAnswer(
    "profile",
    followed.person === undefined ? undefined : `/v1/people/${followed.person}?by=person&${search}`,
    `${live.events.find(({ person }) => person === followed.person)?.id} ${live.joins}`,
    1_000,
  );
  useEffect(() => {
    document.title = `${site.name} · Polder live`;
  }, [site.name]);

  if (live.connection === "locked") return <TokenForm />;
  const newestAt = live.newestReceivedAt ?? summary?.newestReceivedAt ?? null;
  const isEmpty = live.events.length === 0 && live.waiting.length === 0;
  return (
    <>
      <header className="top">
        <div className="brand">
          <img src="/page/icon.svg" alt="" width="28" height="28" />
          <h1>
            Polder <span>live</span>
          </h1>
        </div>
        {config.sites.length > 1 ? (
          <label className="site">
            <span>Site</span>
            <select value={site.id} onChange={(change) => onSite(change.target.value)}>
              {config.sites.map(({ id, name }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        ) : (
          <p className="site">{site.name}</p>
        )}
        <ConnectionState live={live} />
        <button
          type="button"
          className="pause"
          aria-pressed={live.isPaused}
          onClick={() => dispatch({ kind: "pause", isPaused: !live.isPaused })}
        >
          {live.isPaused ? (live.waiting.length > 0 ? `Show ${live.waiting.length} new` : "Go on") : "Pause"}
        </button>
      </header>
      <main>
        <ConsentCard />
        <section className="card pulse" aria-labelledby="pulse-title">
          <div className="figures">
            <h2 id="pulse-title">Now</h2>
            <dl>
              <Figure
                label="Newest event"
                value={newestAt === null ? "none yet" : `${formatAge(now - newestAt)} ago`}
              />
              <Figure label="Events today" value={summary === undefined ? "–" : formatCount(summary.events)} />
              <Figure label="People today" value={summary === undefined ? "–" : formatCount(summary.people)} />
              <Figure
                label="Waiting for the loader"
                value={live.lagMs === null ? "–" : live.lagMs === 0 ? "nothing" : formatAge(live.lagMs)}
              />
            </dl>
          </div>
          <RateChart seconds={live.seconds} now={now} />
        </section>
        {isEmpty ? (
          <EmptyState shopUrl={config.shopUrl} sqlUrl={config.sqlUrl} isConnected={live.connection === "open"} />
        ) : (
          <>
            <EventStream
              live={live}
              timezone={site.timezone}
              now={now}
              selected={followed.person}
              onSelect={followed.select}
            />
            <ProfilePanel
              profile={profile}
              timezone={site.timezone}
              now={now}
              isFollowing={followed.isFollowing}
              onFollow={() => followed.select(undefined)}
            />
            <Audiences audiences={audiences} />
            <AudiencePanel list={audienceList} live={live} now={now} />
          </>
        )}
      </main>
      <footer className="foot">
        <p>
          Days and times in {site.timezone}.{" "}
          {config.sqlUrl !== null && (
            <>
              The same numbers in SQL: <a href={`${config.sqlUrl}/play?user=default`}>{config.sqlUrl}</a>
            </>
          )}
        </p>
      </footer>
      <Announcer live={live} />
    </>
  );
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function ConnectionState({ live }: { live: LiveState }) {
  const [tone, words] =
    live.connection !== "open"
      ? (["bad", live.connection === "connecting" ? "Connecting" : "Reconnecting"] as const)
      : !live.isStoreReachable
        ? (["bad", "Database away"] as const)
        : live.isPaused
          ? (["idle", "Paused"] as const)
          : (["good", "Live"] as const);
  return <p className={`state ${tone}`}>{words}</p>;
}
