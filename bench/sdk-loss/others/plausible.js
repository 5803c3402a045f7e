import { init, track } from "@plausible-analytics/tracker";

export function start(collector) {
  init({ domain: "bench", endpoint: `${collector}/api/event`, captureOnLocalhost: true });
  return (name, properties) => track(name, { props: properties });
}
