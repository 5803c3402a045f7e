"use client";

import { useSyncExternalStore } from "react";
import { polder } from "../polder.ts";

const subscribe = (changed: () => void) => polder().consent.onChange(changed);
const status = () => polder().consent.get().status;
// The server does not know the choice: nothing is shown until the browser does, so that nothing flashes.
const statusOnServer = () => "unknown";
const notice = { version: "2026-11" };

/** Gone after a choice, also one that is made in another tab. */
export const ConsentBanner = () =>
  useSyncExternalStore(subscribe, status, statusOnServer) === "unset" && (
    <section aria-label="Consent">
      <p>May we measure your visit?</p>
      <button type="button" onClick={() => polder().consent.set("all", { notice })}>
        Yes
      </button>{" "}
      <button type="button" onClick={() => polder().consent.set("none", { notice })}>
        No
      </button>
    </section>
  );
