import { posthog } from "posthog-js";

export function start(collector) {
  posthog.init("bench", { api_host: collector });
  return (name, properties) => posthog.capture(name, properties);
}
