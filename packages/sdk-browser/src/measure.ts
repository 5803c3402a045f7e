import type { PageContext } from "./page-context.ts";
import { version } from "./version.ts";

/** Neither query nor hash: either may say who is looking. */
const bare = (url = ""): string => url.replace(/[?#].*/, "");

/**
 * Counts a page view of nobody: one request, sent once, without an id of any kind, a choice, a session or a cookie, nothing of it kept on the
 * device. The collector counts it, and can count it among nobody's profile.
 */
export const createMeasure =
  (writeKey: string, endpoint: string) =>
  ({ url, path, referrer }: PageContext): void => {
    const page = { url: bare(url), path, referrer: bare(referrer) };
    const context = { page, library: { name: "polder.js", version } };
    void fetch(endpoint, {
      method: "POST",
      // A cookie of the collector's may be there from an earlier yes.
      credentials: "omit",
      // The address of the page has its query. Not `no-referrer`, which takes the origin along.
      referrerPolicy: "strict-origin",
      keepalive: true,
      body: JSON.stringify({ writeKey, batch: [{ type: "page", context }] }),
    }).catch(() => {});
  };
