export { createLmdbLog, type LmdbLogOptions } from "./event-log.ts";
export { createSpooledLog, type SpooledLog, type SpooledLogOptions } from "./spooled-log.ts";
export {
  choiceKeptMs,
  createLmdbConsentLedger,
  type LmdbConsentLedger,
  type LmdbConsentLedgerOptions,
} from "./consent-ledger.ts";
