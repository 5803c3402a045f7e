import type { PolderEvent } from "@polder/protocol";
import type { Parcel } from "./outbox.ts";
import type { Counts } from "./receipt.ts";

/** The body of a request. What all events share is said once; where they differ (another page, another choice) each says its own. */
export const batchBody = (
  writeKey: string,
  parcels: Parcel[],
  sent: number,
  { queued = 0, retried = 0, ...dropped }: Counts,
): string => {
  const isCommon = new Set(parcels.map(({ shared }) => JSON.stringify(shared))).size < 2;
  return JSON.stringify({
    writeKey,
    sentAt: new Date(),
    receipt: { queued, sent, retried, dropped },
    context: isCommon ? parcels[0]!.shared : undefined,
    batch: parcels.flatMap(({ shared, events }) =>
      events.map((text) => {
        const event = JSON.parse(text) as PolderEvent;
        return isCommon ? event : { ...event, context: { ...shared, ...event.context } };
      }),
    ),
  });
};
