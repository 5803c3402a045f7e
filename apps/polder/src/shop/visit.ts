import type { SiteConfig } from "@polder/core";
import type { Cart } from "./cart.ts";
import type { Notice } from "./notice.ts";

/** What every page of the shop knows about the request it answers. */
export interface Visit {
  path: string;
  cart: Cart;
  /** E-mail or customer number of the person who is logged in. */
  customer: string | undefined;
  /** Where the tag comes from and events go to, as this browser reaches it. */
  collectorUrl: string;
  /** The read side: the live page, and what a visitor may ask of their own choice. */
  liveUrl: string;
  writeKey: string;
  consent: SiteConfig["consent"];
  /** What this visitor is asked, in their language. */
  notice: Notice;
}

/** Told to Polder by the page's script once the visitor allows it. */
export interface PageEvent {
  name: string;
  properties: { [name: string]: unknown };
}
