import type { PageContext } from "../page-context.ts";
import type { Capture } from "./capture.ts";
import { errorReport } from "./error-report.ts";

const maxErrors = 10;

/** Errors that nobody caught: each once a page, ten a page at most. */
export const captureErrors: Capture = ({ record, currentPage, on }) => {
  let page: PageContext | undefined;
  let told = new Set<string>();
  const tell = (error: unknown, details?: Partial<ErrorEvent>): void => {
    if (page !== currentPage()) {
      page = currentPage();
      told = new Set();
    }
    const properties = errorReport(error, details);
    const key = JSON.stringify(properties);
    if (!properties || told.has(key) || told.size >= maxErrors) return;
    told.add(key);
    record("track", { event: "Error", properties });
  };
  // Pictures and scripts that did not load come by here too, without a message.
  on(window, "error", (event) => tell((event as ErrorEvent).error, event));
  on(window, "unhandledrejection", (event) => tell((event as PromiseRejectionEvent).reason));
};
