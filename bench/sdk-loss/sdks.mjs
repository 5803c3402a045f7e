import { choiceCookieName, encodeChoice, maskOf, purposes } from "@polder/protocol";

// How to read what each SDK sends, and what it wants to be told before it sends anything.

/** A visitor who said yes to everything on an earlier visit. */
const choiceCookie = {
  name: choiceCookieName,
  value: encodeChoice({ mask: maskOf(purposes.slice(1)), at: Date.now() - 86_400_000, consentId: "returning-visitor" }),
};

const segmentLike = {
  eventsOf: (body) => body.batch ?? [body],
  idOf: (event) => event.messageId,
  markOf: (event) => event.properties?.mark,
};

const snowplowData = ({ ue_pr: text, ue_px: base64 }) =>
  JSON.parse(text ?? (base64 ? Buffer.from(base64, "base64url").toString() : "{}")).data?.data;

/**
 * `eventsOf` a body, with `idOf` (absent where the SDK sends none) and `markOf` each; `settingsAt` a path; `answer` to what is accepted;
 * `cookies` of the visitor. Ours is the file as it is published; the others are bundled from npm with a few lines of `others/`.
 */
export const sdks = {
  polder: { ...segmentLike, answer: '{"accepted":1,"rejected":[]}', cookies: [choiceCookie] },
  segment: {
    ...segmentLike,
    package: "@segment/analytics-next",
    settingsAt: (path) => path.endsWith("/settings") && { integrations: { "Segment.io": { apiKey: "bench" } } },
  },
  rudderstack: {
    ...segmentLike,
    package: "@rudderstack/analytics-js",
    settingsAt: (path) =>
      path.includes("sourceConfig") && {
        source: {
          id: "bench",
          name: "bench",
          writeKey: "bench",
          workspaceId: "bench",
          enabled: true,
          config: { statsCollection: { errors: { enabled: false }, metrics: { enabled: false } } },
          destinations: [],
        },
      },
  },
  posthog: {
    package: "posthog-js",
    eventsOf: (body) => [body].flat().flatMap((part) => part.batch ?? part.data ?? part),
    idOf: (event) => event.uuid ?? event.properties?.$insert_id,
    markOf: (event) => event.properties?.mark,
    settingsAt: () => ({}),
    answer: '{"status":1}',
  },
  snowplow: {
    package: "@snowplow/browser-tracker",
    eventsOf: (body) => body.data ?? [],
    idOf: (event) => event.eid,
    markOf: (event) => snowplowData(event)?.mark,
  },
  amplitude: {
    package: "@amplitude/analytics-browser",
    eventsOf: (body) => body.events ?? [],
    idOf: (event) => event.insert_id,
    markOf: (event) => event.event_properties?.mark,
    answer: '{"code":200}',
  },
  mixpanel: {
    package: "mixpanel-browser",
    eventsOf: (body) => [body].flat(),
    idOf: (event) => event.properties?.$insert_id,
    markOf: (event) => event.properties?.mark,
    answer: '{"status":1,"error":""}',
  },
  openpanel: {
    package: "@openpanel/web",
    eventsOf: (body) => [body],
    markOf: (event) => event.payload?.properties?.mark,
  },
  plausible: {
    package: "@plausible-analytics/tracker",
    eventsOf: (body) => [body],
    markOf: (event) => event.p?.mark,
  },
};
