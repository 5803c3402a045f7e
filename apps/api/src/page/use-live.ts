import { useEffect, useReducer } from "react";
import type { LiveAudiences, LiveBatch, LivePeople, LivePulse, LiveSeries } from "../schemas.ts";
import { initialLiveState, reduceLive, type LiveAction, type LiveState } from "./live-state.ts";

/** Data of the server-sent events, by name. */
interface Messages {
  events: LiveBatch;
  people: LivePeople;
  audiences: LiveAudiences;
  series: LiveSeries;
  pulse: LivePulse;
  gap: object;
}

/** The stream of one site. The browser reconnects by itself and says where it was. */
export function useLive(site: string): [LiveState, (action: LiveAction) => void] {
  const [state, dispatch] = useReducer(reduceLive, initialLiveState);
  useEffect(() => {
    let timer: number | undefined;
    let source: EventSource | undefined;
    const open = () => {
      source = new EventSource(`/v1/live?site=${encodeURIComponent(site)}`);
      source.addEventListener("open", () => dispatch({ kind: "connection", connection: "open" }));
      source.addEventListener("error", () => {
        if (source?.readyState !== EventSource.CLOSED) return dispatch({ kind: "connection", connection: "lost" });
        // Closed for good: refused, or an answer that is no stream. Ask why, and try again later.
        void fetch("/v1/summary", { method: "GET" })
          .then((answer) => answer.status)
          .catch(() => 0)
          .then((status) => {
            dispatch({ kind: "connection", connection: status === 401 ? "locked" : "lost" });
            if (status !== 401) timer = window.setTimeout(open, 2_000);
          });
      });
      const on = <Name extends keyof Messages>(name: Name, handle: (data: Messages[Name]) => void) =>
        source?.addEventListener(name, (message: MessageEvent<string>) =>
          handle(JSON.parse(message.data) as Messages[Name]),
        );
      on("events", (batch) => dispatch({ kind: "batch", batch }));
      on("people", (people) => dispatch({ kind: "people", people }));
      on("audiences", (audiences) => dispatch({ kind: "audiences", audiences }));
      on("series", (series) => dispatch({ kind: "series", series }));
      on("pulse", (pulse) => dispatch({ kind: "pulse", pulse, at: Date.now() }));
      on("gap", () => dispatch({ kind: "gap" }));
    };
    open();
    return () => {
      source?.close();
      window.clearTimeout(timer);
    };
  }, [site]);
  return [state, dispatch];
}
