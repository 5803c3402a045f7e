import type { DropReason, PolderEvent, RejectReason } from "@polder/protocol";
import type { ConsentLedger } from "../ports/consent-ledger.ts";
import type { EventRow } from "../row/event-row.ts";
import { createAddressStep } from "./address.ts";
import { createAgentStep } from "./agent.ts";
import { createCampaignStep, noPage, noReferrer } from "./campaign.ts";
import { createClockStep } from "./clock.ts";
import { createConsentStep } from "./consent.ts";
import { createIdentityStep } from "./identity.ts";
import { createRowStep } from "./row.ts";
import { createScrubStep } from "./scrub.ts";
import { createSiteStep } from "./site.ts";
import { newRow } from "./new-row.ts";
import type { Draft, Repair, RequestContext, Step, StepName } from "./step.ts";
import { createPlaceReader } from "./visitor-place.ts";

export interface PipelineDeps {
  /** Asked about every event that names a visitor. What it has to record is left in {@link RequestContext.choices}. */
  ledger: Pick<ConsentLedger, "latest" | "timesOf">;
  /** ISO 3166 alpha-2 of an IPv4 or IPv6 address, empty when unknown. */
  countryOf: (ip: string) => string;
  /** A random id for an event that came without one. */
  newId: () => string;
  observer?: PipelineObserver;
}

/** Told about every event: keep it cheap. */
export interface PipelineObserver {
  /** An event ended in a step, for a reason. Those that no step ended got through all of them. */
  onStop(step: StepName, reason: RejectReason | DropReason): void;
  onRepair(repair: Repair): void;
  /** Milliseconds of some clock. Asked around each step of one event in {@link timeOneIn}. */
  clock(): number;
  onTiming(step: StepName, milliseconds: number): void;
  timeOneIn: number;
}

export type PipelineResult =
  | { ok: true; row: EventRow }
  | { ok: false; stop: "rejected"; reason: RejectReason; detail: string }
  | { ok: false; stop: "dropped"; reason: DropReason; detail: string };

export interface Pipeline {
  /** Never throws on input that `parseRequest` let through. */
  run(event: PolderEvent, context: RequestContext): PipelineResult;
}

/** The life of one event between the wire and the log: site → consent → clock → identity → address → agent → campaign → scrub → row. */
export function createPipeline(deps: PipelineDeps): Pipeline {
  const { observer } = deps;
  const onRepair = (repair: Repair): void => observer?.onRepair(repair);
  const placeOf = createPlaceReader({ countryOf: deps.countryOf });
  const steps: readonly Step[] = [
    createSiteStep(),
    createConsentStep({ ledger: deps.ledger, placeOf, onRepair }),
    createClockStep({ onRepair }),
    createIdentityStep({ newId: deps.newId, onRepair }),
    createAddressStep({ placeOf }),
    createAgentStep(),
    createCampaignStep(),
    createScrubStep({ onRepair }),
    createRowStep({ onRepair }),
  ];

  let untilTimed = 0;
  return {
    run(event, context) {
      const row = newRow(event, context.key.site.id);
      const draft: Draft = {
        event,
        row,
        stamp: undefined,
        mayIdentify: false,
        page: noPage,
        referrer: noReferrer,
        traits: noTraits,
      };
      const timing = observer !== undefined && untilTimed-- <= 0 ? observer : undefined;
      if (timing !== undefined) untilTimed = timing.timeOneIn - 1;
      for (const step of steps) {
        const startedAt = timing?.clock() ?? 0;
        const outcome = step.run(draft, context);
        timing?.onTiming(step.name, timing.clock() - startedAt);
        if (outcome !== draft && "stop" in outcome) {
          observer?.onStop(step.name, outcome.reason);
          return { ok: false, ...outcome };
        }
      }
      return { ok: true, row };
    },
  };
}

const noTraits = {};
