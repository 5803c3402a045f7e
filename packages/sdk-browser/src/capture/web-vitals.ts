import { onCLS, onFCP, onINP, onLCP, onTTFB, type MetricType } from "web-vitals";
import type { Capture } from "./capture.ts";

/**
 * Web vitals of the load, in one event: LCP, FCP, TTFB and INP in milliseconds, CLS without a unit. Told when the page is hidden or left,
 * and again when it is and they have changed since: the last event of a page holds.
 */
export const captureWebVitals: Capture = ({ record, currentPage, on }) => {
  // They belong to the page that was loaded, whatever its single-page app has shown since.
  const page = currentPage();
  let metrics: { [name: string]: number } = {};
  let isTold = true;
  const keep = ({ name, value }: MetricType): void => {
    metrics = { ...metrics, [name.toLowerCase()]: +value.toFixed(name === "CLS" ? 4 : 0) };
    isTold = false;
  };
  for (const listen of [onCLS, onFCP, onINP, onLCP, onTTFB]) listen(keep, { reportAllChanges: true });
  const tell = ({ type }: Event): void => {
    if (isTold || !(document.hidden || type === "pagehide")) return;
    isTold = true;
    record("track", { event: "Web Vitals", properties: metrics }, {}, [page, Date.now()]);
  };
  on(window, "pagehide", tell);
  // After the library, which looks once more when the page is hidden.
  on(window, "visibilitychange", tell, false);
};
