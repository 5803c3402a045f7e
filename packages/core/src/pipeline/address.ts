import type { PolderEvent } from "@polder/protocol";
import type { RequestContext, Step } from "./step.ts";
import type { VisitorPlace } from "./visitor-place.ts";

/** Country, and the network that an event came from: without consent for a profile not even the network is kept. */
export function createAddressStep(deps: {
  placeOf: (event: PolderEvent, context: RequestContext) => VisitorPlace;
}): Step {
  return {
    name: "address",
    run(draft, context) {
      const { country, ip } = deps.placeOf(draft.event, context);
      draft.row.country = country;
      if (draft.mayIdentify) draft.row.ip = ip;
      return draft;
    },
  };
}
