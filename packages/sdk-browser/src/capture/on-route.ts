import { attempt } from "../device-storage.ts";
import type { Moment } from "../tracker.ts";
import type { CaptureTools } from "./capture.ts";

/** Runs when a single-page app shows another page. @param run gets the page that was left, and when. */
export const onRoute = ({ on, currentPage }: CaptureTools, run: (left: Moment) => void): void => {
  let page = currentPage();
  const look = (): void => {
    const left = page;
    page = currentPage();
    if (left !== page) run([left, Date.now()]);
  };
  const { navigation } = window as { navigation?: EventTarget & { currentEntry?: object } };
  // Where there is no Navigation API, an element with that id has its name.
  if (navigation?.currentEntry) return on(navigation, "currententrychange", look);
  on(window, "popstate", look);
  for (const method of ["pushState", "replaceState"] as const) {
    const original = history[method];
    history[method] = function (...args) {
      original.apply(this, args);
      attempt(look);
    };
  }
};
