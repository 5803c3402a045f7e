import { tighterRegime } from "@polder/protocol";
import type { PolderEvent, Regime } from "@polder/protocol";
import type { Site } from "../ports/site-directory.ts";
import { createBoundedCache } from "./bounded-cache.ts";
import { parseIp, truncateIp } from "./ip-address.ts";
import type { RequestContext } from "./step.ts";

/** Where an event came from. The whole address goes no further than this. */
export interface VisitorPlace {
  /** ISO 3166 in two capitals; empty when unknown. */
  country: string;
  /** Truncated; empty when unknown. */
  ip: string;
}

const nowhere: VisitorPlace = { country: "", ip: "" };

/**
 * Only a server key speaks for another address than its own (`context.ip`); a server's own address says nothing about the visitor. An edge knows the
 * country of the connection; that is the visitor's unless a server stands in between.
 */
export function createPlaceReader(deps: {
  countryOf: (ip: string) => string;
}): (event: Pick<PolderEvent, "context">, context: Pick<RequestContext, "key" | "ip" | "country">) => VisitorPlace {
  const known = createBoundedCache<string, VisitorPlace>(10_000);
  const locate = (ip: string): VisitorPlace => {
    let place = known.get(ip);
    if (place === undefined) {
      place = { country: parseIp(ip) === undefined ? "" : deps.countryOf(ip), ip: truncateIp(ip) };
      known.set(ip, place);
    }
    return place;
  };
  return (event, context) => {
    const isServer = context.key.kind === "server";
    const stated = isServer ? event.context?.ip : undefined;
    const ip = isServer ? (typeof stated === "string" ? stated : "") : context.ip;
    const place = ip !== "" && ip.length <= 45 ? locate(ip) : nowhere;
    if (isServer || !isCountry(context.country)) return place;
    return { country: context.country.toUpperCase(), ip: place.ip };
  };
}

/** What holds without a choice for a visitor from there. Nothing known means the strictest of all that could hold. */
export function regimeIn({ regime, regimes }: Pick<Site, "regime" | "regimes">, country: string): Regime {
  if (country === "") return [...regimes.values()].reduce(tighterRegime, regime);
  return regimes.get(country) ?? regime;
}

/** `XX` and `T1` are what edges say for "unknown" and "Tor". */
const isCountry = (text: string): boolean => /^[a-z]{2}$/i.test(text) && text.toUpperCase() !== "XX";
