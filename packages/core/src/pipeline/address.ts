import { createBoundedCache } from "./bounded-cache.ts";
import { parseIp, truncateIp } from "./ip-address.ts";
import type { Step } from "./step.ts";

/**
 * Country, and the network that an event came from. Only a server key speaks for another address than its own (`context.ip`);
 * a server's own address says nothing about the visitor. The whole address goes no further than this step, and without consent
 * for a profile not even the network is kept.
 */
export function createAddressStep(deps: { countryOf: (ip: string) => string }): Step {
  const known = createBoundedCache<string, { country: string; ip: string }>(10_000);
  const locate = (ip: string) => {
    let place = known.get(ip);
    if (place === undefined) {
      place = { country: parseIp(ip) === undefined ? "" : deps.countryOf(ip), ip: truncateIp(ip) };
      known.set(ip, place);
    }
    return place;
  };
  return {
    name: "address",
    run(draft, context) {
      const { row } = draft;
      const isServer = context.key.kind === "server";
      const stated = isServer ? draft.event.context?.ip : undefined;
      const ip = isServer ? (typeof stated === "string" ? stated : "") : context.ip;
      if (ip !== "" && ip.length <= 45) {
        const place = locate(ip);
        row.country = place.country;
        if (draft.mayIdentify) row.ip = place.ip;
      }
      // An edge knows the country of the connection; that is the visitor's unless a server stands in between.
      if (!isServer && isCountry(context.country)) row.country = context.country.toUpperCase();
      return draft;
    },
  };
}

/** `XX` and `T1` are what edges say for "unknown" and "Tor". */
const isCountry = (text: string): boolean => /^[a-z]{2}$/i.test(text) && text.toUpperCase() !== "XX";
