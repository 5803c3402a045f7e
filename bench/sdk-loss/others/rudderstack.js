// The build that brings its plugins along: the other one fetches them from a CDN.
import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";

export function start(collector) {
  const analytics = new RudderAnalytics();
  analytics.load("bench", collector, { configUrl: collector });
  analytics.page();
  return (name, properties) => analytics.track(name, properties);
}
