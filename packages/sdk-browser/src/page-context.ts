import type { EventContext } from "@polder/protocol";
import { campaignParameters, scrubUrl } from "./scrub.ts";

/** The page that events happened on. One object a page, shared by its events and written when they are sealed. */
export type PageContext = NonNullable<EventContext["page"]>;

/** What of an address makes another page: its path alone, with its query, or with query and hash. */
export type PageBy = "path" | "query" | "hash";

/** What is left tells pages apart: a site may clean the rest out of its address. */
const withoutCampaign = (url = ""): string => url.replace(campaignParameters, "").replace(/[?&]/g, "");

/** Follows the address: in a single-page app the referrer of a page is the page before it. */
export const createPageContext = (pageBy: PageBy = "query") => {
  let page: PageContext = {};
  let href = "";
  // A form may have one of these names.
  const said: { title: unknown; referrer: unknown } = document;
  return (): PageContext => {
    // Taking an address apart is the dear part of a call.
    if (location.href !== href) {
      ({ href } = location);
      const { origin, pathname, search, hash } = location;
      const path = scrubUrl(pathname);
      const url = scrubUrl(origin + pathname + search + (pageBy === "hash" ? hash : ""));
      if (pageBy === "path" ? page.path !== path : withoutCampaign(page.url) !== withoutCampaign(url)) {
        page = { url, path, referrer: page.url ?? scrubUrl(String(said.referrer)) };
      }
    }
    // Read again every time: single-page apps set it after the address.
    page.title = String(said.title);
    return page;
  };
};
