import type { Cart } from "./cart.ts";

/** What every page of the shop knows about the request it answers. */
export interface Visit {
  path: string;
  cart: Cart;
  /** E-mail or customer number of the person who is logged in. */
  customer: string | undefined;
  /** Where the tag comes from and events go to, as this browser reaches it. */
  collectorUrl: string;
  liveUrl: string;
  writeKey: string;
}

/** Told to Polder by the page's script once the visitor allows it. */
export interface PageEvent {
  name: string;
  properties: { [name: string]: unknown };
}
