export { createLmdbLog, type LmdbLogOptions } from "./event-log.ts";
export {
  createSpooledLog,
  forwardWithinMs,
  spoolAfterMs,
  type SpooledLog,
  type SpooledLogOptions,
} from "./spooled-log.ts";
export {
  choiceKeptMs,
  createLmdbConsentLedger,
  type LmdbConsentLedger,
  type LmdbConsentLedgerOptions,
} from "./consent-ledger.ts";
export { copyLmdbFolder } from "./copy-folder.ts";
export { carryOverChoices } from "./carry-over-choices.ts";
export { refusalsSince, type Refusal } from "./refusals-since.ts";
