import { createPlaceReader, regimeIn, type ClientAddress, type SiteDirectory } from "@polder/core";
import type { Regime } from "@polder/protocol";
import { refuse, type Refusal } from "../answer.ts";
import { keyFromRequest } from "../credentials.ts";
import { isOriginOf } from "../is-origin-of.ts";
import type { RequestHead } from "../request-head.ts";

export interface RegimeDeps {
  sites: SiteDirectory;
  /** ISO 3166 alpha-2 of an address, empty when unknown. */
  countryOf: (ip: string) => string;
}

/**
 * Answers a page with the regime of where it is asked from: the one that its events would be judged by. What comes of the address goes no
 * further than the answer.
 */
export function createRegimeAnswers({
  sites,
  countryOf,
}: RegimeDeps): (head: RequestHead, client: ClientAddress) => { ok: true; regime: Regime } | Refusal {
  const placeOf = createPlaceReader({ countryOf });

  return (head, client) => {
    const key = sites.findKey(keyFromRequest(head) ?? "");
    if (key?.kind !== "write") return refuse("unknown_key", "Send a write key that somebody has, as `writeKey`.");
    const origin = head.header("origin");
    // A page asks its own host without saying where it is.
    if (origin !== undefined && !isOriginOf(key.site, origin))
      return refuse(
        "origin_refused",
        "Only a page of the site may ask: add it to the site's origins in polder.config.json.",
      );
    const { country } = placeOf({}, { key, ip: client.ip, country: client.country });
    return { ok: true, regime: regimeIn(key.site, country) };
  };
}
