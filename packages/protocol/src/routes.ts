import type { RequestRoute } from "./parse-request.ts";

/** What follows `/v1/` in the address of a POST. The single letters are those of Segment's browser client. */
export const postRoutes: { readonly [path: string]: RequestRoute } = {
  batch: "batch",
  b: "batch",
  import: "import",
  track: "track",
  t: "track",
  page: "page",
  p: "page",
  screen: "screen",
  s: "screen",
  identify: "identify",
  i: "identify",
  group: "group",
  g: "group",
  alias: "alias",
  a: "alias",
};

/** The files that pages load, and what each is. */
export const browserScripts = {
  "polder.js": "The browser SDK",
  "polder.all.js": "The browser SDK with everything that it can measure",
  "polder-banner.js": "The banner: asks for a choice, and lets it be changed",
  "polder-overlay.js": "Shows in the page what the browser SDK does, for developers",
};
