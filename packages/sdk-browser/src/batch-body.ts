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
  const context = isCommon ? parcels[0]!.shared : undefined;
  const head = JSON.stringify({ writeKey, sentAt: new Date(), receipt: { queued, sent, retried, dropped }, context });
  const batch = parcels.flatMap(({ shared, events }) =>
    events.map((text) => {
      if (isCommon) return text;
      const event = JSON.parse(text) as PolderEvent;
      return JSON.stringify({ ...event, context: { ...shared, ...event.context } });
    }),
  );
  // Put together as text: a page whose arrays have a `toJSON` would make a string of the list.
  return `${head.slice(0, -1)},"batch":[${batch.join()}]}`;
};
