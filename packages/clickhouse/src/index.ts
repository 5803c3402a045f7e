export { analystAccess } from "./analyst-access.ts";
export {
  ClickHouseQueryError,
  createClickHouse,
  quoteName,
  quoteText,
  type ClickHouse,
  type ClickHouseOptions,
  type QueryOptions,
  type QueryParameter,
} from "./clickhouse.ts";
export { createEventStore } from "./event-store.ts";
export { createErasureStore } from "./erasure-store.ts";
export { readErasureList, restoreErasures, type ListedErasure } from "./erasure-list.ts";
export {
  createPersonExport,
  exportSections,
  type ExportedRow,
  type ExportSection,
  type PersonExport,
} from "./person-export.ts";
export { createGapStore } from "./gap-store.ts";
export {
  createReplayStore,
  messageKey,
  type ReceivedMessage,
  type RefusedEvent,
  type ReplayedEvent,
  type ReplayStore,
} from "./replay-store.ts";
export { createStateRebuild, type StateRebuild } from "./state-rebuild.ts";
export { MigrationError, migrate, type MigrateOptions, type MigrationProgress } from "./migrate.ts";
export { renderMigrations, type RenderOptions } from "./migrations/render-migrations.ts";
export { reloadIdentities } from "./reload-identities.ts";
export { connectionFromEnv, type Connection } from "./connection-from-env.ts";
export { createDecisionStore, createIdentityStore } from "./identity-store.ts";
export { createImportStore } from "./import-store.ts";
export { freezeTables, type FrozenTable } from "./freeze-tables.ts";
export { createRetentionStore } from "./retention-store.ts";
export { createWithdrawalStore } from "./withdrawal-store.ts";
export { personConsent, type PersonConsentOptions } from "./consent/person-consent.ts";
export { personConsentOf } from "./consent/person-consent-of.ts";
export {
  createPersonFlagStore,
  type FiledFlag,
  type FlagDecision,
  type PersonFlagKind,
  type PersonFlagStore,
} from "./person-flag-store.ts";
export {
  createSendGate,
  leftOutReasons,
  type LeftOutReason,
  type SendCounts,
  type SendGate,
  type SendRequest,
} from "./send-gate.ts";
export { createConsentRecordStore } from "./consent-record-store.ts";
export { createConsentQueries, type ConsentQueries, type EventConsent, type FiledText } from "./queries/consent.ts";
export {
  createDuplicateQueries,
  duplicateSigns,
  type Duplicate,
  type DuplicateQueries,
  type DuplicateSign,
  type DuplicatesQuestion,
} from "./queries/duplicates.ts";
export { createStatusQueries } from "./queries/status.ts";
export { createReadQueries } from "./queries/create-read-queries.ts";
export {
  type AudienceCount,
  type NewEvents,
  type PersonId,
  type Identifier,
  type Profile,
  type ProfileLimits,
  type ReadQueries,
  type StoredEvent,
  type Summary,
  type TimelineEvent,
  type TimelinePage,
  type TimelinePlace,
  type TimelineQuestion,
  type Touch,
} from "./queries/read-queries.ts";
export {
  AudienceError,
  compileAudience,
  compileAudiences,
  type AudienceContext,
  type CompiledAudience,
} from "./audiences/compile-audience.ts";
export { computedTraitsOfSite } from "./audiences/computed-traits-of-site.ts";
export {
  createAudiencePreviews,
  type AudiencePreview,
  type AudiencePreviews,
  type PreviewPerson,
} from "./audiences/preview.ts";
export {
  audienceStates,
  createAudienceStore,
  type Audience,
  type AudienceState,
  type AudienceStore,
  type UnreadableAudience,
} from "./audience-store.ts";
export {
  createAudienceTickStore,
  type AudienceChange,
  type AudienceReason,
  type AudienceTickStore,
  type AudienceTurn,
  type AudienceWork,
} from "./audience-tick-store.ts";
export {
  compileComputedTrait,
  type CompiledComputedTrait,
  type ComputedTraitContext,
} from "./traits/compile-computed-trait.ts";
export { isComputedTraitTooLarge } from "./traits/read-computed-traits.ts";
export {
  createComputedTraitStore,
  type ComputedTraitStore,
  type StoredComputedTrait,
} from "./traits/computed-trait-store.ts";
export { type ComputedValue } from "./traits/read-computed-traits.ts";
export { createAudienceQueries, type AudienceQueries, type AudienceSize } from "./audience-queries.ts";
export {
  createAudienceExportStore,
  exportFormats,
  exportIdentifiers,
  exportLeftOutReasons,
  type AudienceExportStore,
  type ExportCounts,
  type ExportLeftOutReason,
  type ExportOrder,
  type LoggedExport,
} from "./audience-export-store.ts";
