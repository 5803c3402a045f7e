import type { EventContext } from "@polder/protocol";

/** The page that events happened on. One object a page, shared by its events and written when they are sealed. */
export type PageContext = NonNullable<EventContext["page"]>;

/** Follows the address: in a single-page app the referrer of a page is the page before it. */
export const createPageContext = () => {
  let page: PageContext | undefined;
  let href: string;
  /** @param isLate reads the title again: single-page apps set it after the address. */
  return (isLate?: boolean): PageContext => {
    if (!page || location.href !== href) {
      ({ href } = location);
      const { pathname: path, search, origin } = location;
      const url = origin + path + search;
      if (page?.url !== url)
        page = { url, path, search, title: document.title, referrer: page?.url ?? document.referrer };
    }
    if (isLate) page.title = document.title;
    return page;
  };
};
