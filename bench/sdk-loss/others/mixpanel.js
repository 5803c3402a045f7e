import mixpanel from "mixpanel-browser";

export function start(collector) {
  mixpanel.init("bench", { api_host: collector, track_pageview: true });
  return (name, properties) => mixpanel.track(name, properties);
}
