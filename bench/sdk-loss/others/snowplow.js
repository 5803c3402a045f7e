import { newTracker, trackPageView, trackSelfDescribingEvent } from "@snowplow/browser-tracker";

export function start(collector) {
  newTracker("bench", collector, { appId: "bench" });
  trackPageView();
  return (name, properties) =>
    trackSelfDescribingEvent({ event: { schema: `iglu:bench/${name}/jsonschema/1-0-0`, data: properties } });
}
