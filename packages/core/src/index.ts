export {
  LogUnavailableError,
  NotAssignedError,
  topics,
  type CommittedPosition,
  type EventLog,
  type LogRange,
  type LogReader,
  type LogRecord,
  type PartitionConsumer,
  type ReaderOptions,
  type RecordHeaders,
  type StoredRecord,
  type Topic,
} from "./ports/event-log.ts";
export { StoreUnavailableError, type AtomKey, type EventStore, type RowTable } from "./ports/event-store.ts";
export { type Site, type SiteDirectory, type SiteKey, type TraitKind } from "./ports/site-directory.ts";
export { ruleVersion, type EventRow, type RejectedRow } from "./row/event-row.ts";
export { createJsonLogger, type LogFields, type Logger } from "./ports/logger.ts";
