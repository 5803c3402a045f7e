import { errorText, LogUnavailableError, type Logger } from "@polder/core";
import { refuse, type Outcome, type Refusal } from "./answer.ts";
import type { ChoiceRecorder } from "./choice-recorder.ts";
import type { Coalescer } from "./coalescer.ts";
import type { LossLedger } from "./loss-ledger.ts";
import { add, type CollectorMetrics } from "./metrics.ts";
import type { Prepared } from "./prepare.ts";

/** Stores what was prepared, and has the answer when it is durable. */
export function createIngest(deps: {
  events: Coalescer;
  rejected: Coalescer;
  choiceRecorder: Pick<ChoiceRecorder, "record">;
  metrics: CollectorMetrics;
  lossLedger: LossLedger;
  logger: Logger;
}): (prepared: Prepared | Refusal) => Promise<Outcome> {
  const { events, rejected, choiceRecorder, metrics, lossLedger, logger } = deps;
  let isLogAway = false;

  function logUnavailable(error: unknown): Outcome {
    // One line for an outage, not one a request.
    if (!isLogAway) logger.error("the log is away: clients are told to keep and retry", { error: errorText(error) });
    isLogAway = true;
    if (!(error instanceof LogUnavailableError)) logger.error("an append failed", { error: errorText(error) });
    return refuse(
      "log_unavailable",
      "The log did not confirm, so it is not known whether this is stored: keep it and send it again.",
      2,
    );
  }

  return async (prepared) => {
    if (!prepared.ok) return prepared;
    const { records, refusals, choices, answer, dropped, arrivals } = prepared;
    let isSpooled = false;
    try {
      if (refusals.length === 0 && choices.length === 0 && dropped.length === 0)
        isSpooled = (await events.append(records, prepared.site)) === "spooled";
      else {
        // The ledger first: it counts from here on, for every request that is judged later.
        const recorded = choices.length === 0 ? undefined : choiceRecorder.record(choices);
        if (dropped.length > 0) lossLedger.dropped(prepared.site, arrivals, dropped);
        const counted = dropped.length === 0 ? undefined : lossLedger.flush();
        const outcomes = await Promise.all([
          recorded,
          events.append(records, prepared.site),
          rejected.append(refusals, prepared.site),
          counted,
        ]);
        isSpooled = outcomes.includes("spooled");
      }
    } catch (error) {
      return logUnavailable(error);
    }
    if (isLogAway && records.length > 0) {
      logger.info("the log is back");
      isLogAway = false;
    }
    lossLedger.answered(prepared.site, arrivals, dropped, isSpooled);
    const counts = metrics.ofSite(prepared.site);
    counts.received += answer.accepted + answer.rejected.length;
    counts.accepted += answer.accepted;
    counts.choices += choices.length;
    for (const reason of prepared.rejectedFor) add(counts.rejected, reason, 1);
    for (const { reason } of dropped) add(counts.dropped, reason, 1);
    if (prepared.receipt !== undefined) {
      metrics.receipt(prepared.site, prepared.receipt);
      lossLedger.receipt(prepared.site, prepared.receivedAt, prepared.receipt);
    }
    return isSpooled ? { ...prepared, isSpooled } : prepared;
  };
}
