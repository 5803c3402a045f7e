import { limits } from "@polder/protocol";
import { dayInZone } from "./day-in-zone.ts";
import type { Repair, Step } from "./step.ts";
import { claimedTimeText, parseTime, timeText } from "./time-text.ts";

// The day column starts in 1970, and the local day of an instant may be the one before.
const earliestMs = 2 * 86_400_000;

/**
 * When it happened by our clock: `received - (sentAt - timestamp)`. How wrong the client's clock is cancels out, since both
 * times are its own. Bounded, except that a server key may tell of any past.
 */
export function createClockStep(deps: { onRepair: (repair: Repair) => void }): Step {
  // The parser gives the events of a request the same text.
  let lastSentAt: string | undefined;
  let lastSentAtMs: number | undefined;
  return {
    name: "clock",
    run(draft, context) {
      const { event, row } = draft;
      const { receivedAt } = context;
      const timestamp = parseTime(event.timestamp);
      const sentAtText = event.sentAt ?? context.sentAt;
      if (sentAtText !== lastSentAt) {
        lastSentAt = sentAtText;
        lastSentAtMs = parseTime(sentAtText);
      }

      let time = receivedAt;
      if (timestamp !== undefined)
        time = lastSentAtMs === undefined ? timestamp : receivedAt - (lastSentAtMs - timestamp);
      const earliest = context.key.kind === "server" ? earliestMs : receivedAt - limits.maxPastMs;
      const bounded = Math.min(Math.max(time, earliest), receivedAt + limits.maxFutureMs);
      if (bounded !== time) deps.onRepair("clock_bounded");

      row.time = timeText(bounded);
      row.received_at = timeText(receivedAt);
      row.client_time = claimedTimeText(timestamp);
      row.day = dayInZone(bounded, context.key.site.timezone);
      return draft;
    },
  };
}
