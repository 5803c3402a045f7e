import type { Origin } from "@polder/protocol";
import type { Step, Stop } from "./step.ts";

const refused = (detail: string): Stop => ({ stop: "rejected", reason: "origin_not_allowed", detail });

/**
 * Who may state what. A page may say that it saw something or that its visitor typed it; a partner's or a third party's word
 * needs a server key that is configured for it, and third parties a site that takes them.
 */
export function createSiteStep(): Step {
  return {
    name: "site",
    run(draft, { key }) {
      const context = draft.event.context;
      const origin: Origin = context?.origin ?? "observed";
      if (origin === "observed") return draft;
      draft.row.origin = origin;
      if (key.origins !== undefined && !key.origins.includes(origin))
        return refused(`context.origin is not one that this key may claim: use one of ${key.origins.join(", ")}.`);
      if (origin === "declared") return draft;
      if (key.kind !== "server")
        return refused("context.origin partner and third_party need a server key: send the event from a server.");
      if (origin === "third_party") {
        if (!key.site.allowThirdParty)
          return refused(
            "This site takes no third-party data: set allowThirdParty in its configuration to change that.",
          );
        return draft;
      }
      const { name, basis } = context?.partner ?? {};
      if (typeof name !== "string" || name === "" || typeof basis !== "string" || basis === "")
        return refused("context.origin partner needs context.partner with a name and a basis.");
      draft.row.partner = name;
      return draft;
    },
  };
}
