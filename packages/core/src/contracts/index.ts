export { describeEventLog, type EventLogHarness } from "./event-log-contract.ts";
export {
  createRecordingConsumer,
  endOf,
  type Assignment,
  type RecordingConsumer,
  type RecordingOptions,
} from "./recording-consumer.ts";
export { buildEventRow, rowBytes, type LoadedEventRow } from "./build-event-row.ts";
export { describeEventStore, type EventStoreHarness } from "./event-store-contract.ts";
export { describeConsentLedger, type ConsentLedgerHarness } from "./consent-ledger-contract.ts";
export { createMemoryConsentLedger } from "./memory-consent-ledger.ts";
