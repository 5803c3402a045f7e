import { init, track } from "@amplitude/analytics-browser";

export function start(collector) {
  init("bench", { serverUrl: `${collector}/2/httpapi`, remoteConfig: { fetchRemoteConfig: false } });
  return (name, properties) => void track(name, properties);
}
