import { OpenPanel } from "@openpanel/web";

export function start(collector) {
  const openpanel = new OpenPanel({ clientId: "bench", apiUrl: collector, trackScreenViews: true });
  return (name, properties) => void openpanel.track(name, properties);
}
