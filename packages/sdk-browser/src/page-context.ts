import type { EventContext } from "@polder/protocol";

/** The page that events happened on. One object a page, shared by its events and written when they are sealed. */
export type PageContext = NonNullable<EventContext["page"]>;

/** Follows the address: in a single-page app the referrer of a page is the page before it. */
export const createPageContext = () => {
  let page: PageContext = {};
  let href = "";
  return (): PageContext => {
    // Taking an address apart is the dear part of a call.
    if (location.href !== href) {
      ({ href } = location);
      const { origin, pathname: path, search } = location;
      const url = origin + path + search;
      if (page.url !== url) page = { url, path, search, referrer: page.url ?? document.referrer };
    }
    // Read again every time: single-page apps set it after the address.
    page.title = document.title;
    return page;
  };
};
