import { AnalyticsBrowser } from "@segment/analytics-next";

export function start(collector) {
  const analytics = AnalyticsBrowser.load(
    { writeKey: "bench", cdnURL: collector },
    {
      integrations: {
        "Segment.io": { apiHost: `${new URL(collector).host}/v1`, protocol: new URL(collector).protocol.slice(0, -1) },
      },
    },
  );
  void analytics.page();
  return (name, properties) => void analytics.track(name, properties);
}
