import type { AudienceBatch, AudienceFeed } from "../audiences/create-audience-feed.ts";
import type { LiveAudiences, LiveBatch, LivePeople, LivePulse, LiveSeries } from "../schemas.ts";
import { toLiveEvent } from "../to-live-event.ts";
import type { Batch, LiveFeed, PersonChange } from "./create-live-feed.ts";

export interface LiveStreamOptions {
  feed: LiveFeed;
  /** Changes of audiences are told where there are any. */
  audiences?: AudienceFeed;
  site: string;
  lastEventId: string | undefined;
  now: () => number;
  /** Age of the oldest event that waits for the loader, in milliseconds; null when unknown. */
  lagMs: () => Promise<number | null>;
  pulseMs: number;
  /** A listener that has this many bytes unread is let go: it comes back and goes on from where it was. */
  maxUnreadBytes: number;
}

/** Server-sent events: `events` (resumable by their ids), `people` when identities were joined, `audiences` when people came into some or left, `gap` when some were missed for good, and a `pulse` every second. */
export function liveStream(options: LiveStreamOptions): ReadableStream<Uint8Array> {
  const { feed, site, now } = options;
  const encoder = new TextEncoder();
  let leave = () => {};

  return new ReadableStream<Uint8Array>(
    {
      async start(controller) {
        const catchingUp = feed.catchUp();
        if (catchingUp !== undefined) await catchingUp;
        let isOpen = true;
        let pulse: NodeJS.Timeout | undefined;
        let leaveAudiences = () => {};
        const end = () => {
          isOpen = false;
          leaveAudiences();
          clearTimeout(pulse);
          subscription.leave();
        };
        const send = (lines: string) => {
          if (!isOpen) return;
          controller.enqueue(encoder.encode(`${lines}\n\n`));
          if ((controller.desiredSize ?? 0) >= 0) return;
          end();
          controller.close();
        };
        const sendBatch = (batch: Batch, { isCounted } = { isCounted: false }) => {
          const data = ofSite(batch, site);
          if (data === undefined) return;
          if (isCounted) Object.assign(data, { seconds: [], omitted: 0 });
          send(`id: ${batch.position}\nevent: events\ndata: ${JSON.stringify(data)}`);
        };
        const sendPeople = (changes: readonly PersonChange[]) => {
          const mine = changes.filter((change) => change.site === site);
          if (mine.length === 0) return;
          const data: LivePeople = { changes: mine.map(({ atom, person }) => ({ atom, person })) };
          send(`event: people\ndata: ${JSON.stringify(data)}`);
        };
        const sendAudiences = ({ changes, omitted }: AudienceBatch) => {
          const mine = changes.filter((change) => change.site === site);
          if (mine.length === 0 && omitted === 0) return;
          const data: LiveAudiences = {
            changes: mine.map(({ seq, audience, person, change, reason, at }) => ({
              seq,
              audience,
              // Whoever was erased meanwhile is nobody.
              person: person === 0 ? null : person,
              change,
              reason,
              at,
            })),
            omitted,
          };
          send(`event: audiences\ndata: ${JSON.stringify(data)}`);
        };
        const sendPulse = async (): Promise<void> => {
          const { isStoreReachable } = feed.status();
          const data: LivePulse = {
            now: now(),
            newestReceivedAt: feed.newestReceivedAt(site) ?? null,
            lagMs: await options.lagMs(),
            isStoreReachable,
          };
          send(`event: pulse\ndata: ${JSON.stringify(data)}`);
          if (isOpen) pulse = setTimeout(() => void sendPulse(), options.pulseMs);
        };
        const subscription = feed.listen(
          { onBatch: (batch) => sendBatch(batch), onPeople: sendPeople },
          options.lastEventId,
        );
        leaveAudiences = options.audiences?.listen(sendAudiences) ?? leaveAudiences;
        leave = end;
        send("retry: 1000");
        if (subscription.hasGap) send("event: gap\ndata: {}");
        sendPeople(subscription.people);
        // What was missed is in the series already.
        for (const batch of subscription.missed) sendBatch(batch, { isCounted: true });
        send(`event: series\ndata: ${JSON.stringify({ seconds: feed.series(site) } satisfies LiveSeries)}`);
        void sendPulse();
      },
      cancel: () => leave(),
    },
    { highWaterMark: options.maxUnreadBytes, size: (chunk) => chunk.byteLength },
  );
}

function ofSite(batch: Batch, site: string): LiveBatch | undefined {
  const events = batch.events.filter((event) => event.site === site);
  const seconds = batch.seconds.filter((each) => each.site === site);
  if (events.length === 0 && seconds.length === 0) return undefined;
  const count = seconds.reduce((sum, each) => sum + each.count, 0);
  return {
    events: events.map(toLiveEvent),
    omitted: Math.max(0, count - events.length),
    seconds: seconds.map((each) => [each.second, each.count]),
  };
}
