import { useSyncExternalStore } from "react";
import { polder } from "./polder.ts";

const status = () => polder.consent.get().status;
const notice = { version: "2026-11" };

/** Gone after a choice, also one that is made in another tab. */
export const ConsentBanner = () =>
  useSyncExternalStore(polder.consent.onChange, status) === "unset" && (
    <section aria-label="Consent">
      <p>May we measure your visit?</p>
      <button type="button" onClick={() => polder.consent.set("all", { notice })}>
        Yes
      </button>{" "}
      <button type="button" onClick={() => polder.consent.set("none", { notice })}>
        No
      </button>
    </section>
  );
