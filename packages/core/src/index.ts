export {
  loadedTopics,
  LogMisconfiguredError,
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
  type SpoolStatus,
  type StoredRecord,
  type Topic,
} from "./ports/event-log.ts";
export {
  visitorKey,
  type ConsentLedger,
  type FollowingLedger,
  type LedgerPosition,
  type VisitorChoices,
} from "./ports/consent-ledger.ts";
export {
  StoreUnavailableError,
  type AtomKey,
  type EventStore,
  type GapStore,
  type LedgerTable,
  type LogGap,
  type MessageHashes,
  type RowTable,
  type StoredMessage,
} from "./ports/event-store.ts";
export {
  type DecisionStore,
  type EdgeSource,
  type ErasedNode,
  type IdentityEnds,
  type IdentityPosition,
  type IdentityStore,
  type IdentityTie,
  type IdentityView,
  type QuarantinedPerson,
  type SiteAtom,
  type SiteEdge,
  type StoredEdge,
  type TiedBy,
} from "./ports/identity-store.ts";
export { emailHash, phoneHash } from "./people/contact-hash.ts";
export {
  builtInBlocked,
  createBlockedCheck,
  defaultIdentityRules,
  identityRulesHash,
  identityRulesOf,
  type ContactKind,
  type IdentityRules,
} from "./people/identity-rules.ts";
export {
  decidedEdges,
  decidedNodes,
  decisionsInForce,
  edgeKeyText,
  manualKey,
  type DecisionAction,
  type EdgeKey,
  type IdentityDecision,
} from "./people/identity-decision.ts";
export {
  createNodeReader,
  deviceNode,
  keysOfEdge,
  resolvePeople,
  ruleOfEdge,
  userNode,
  type EdgeOutcome,
  type IdentityAtom,
  type IdentityEdge,
  type NodeReader,
  type Resolution,
  type ResolvedEdge,
} from "./people/resolve-people.ts";
export { createNumberMap } from "./people/number-map.ts";
export { createUnionFind } from "./people/union-find.ts";
export { createPeopleSorter, type PeopleSorter, type SortedPeople } from "./people/sort-people.ts";
export { fetchNeighbourhood, type Neighbourhood, type Seeds } from "./people/fetch-neighbourhood.ts";
export {
  createIdentityDesk,
  type Apart,
  type Decided,
  type DeskFault,
  type ExplainedEdge,
  type Explanation,
  type IdentityDesk,
  type Signed,
} from "./people/create-identity-desk.ts";
export { type ConsentRecordStore } from "./ports/consent-record-store.ts";
export {
  defaultRetention,
  type KeptRows,
  type Retention,
  type RetentionStore,
  type SiteRetention,
} from "./ports/retention-store.ts";
export { type StoreStatus } from "./ports/store-status.ts";
export { type Withdrawal, type WithdrawalStore } from "./ports/withdrawal-store.ts";
export { hashedColumns, hashOf, type ConsentLogRow } from "./consent-record/consent-log-row.ts";
export {
  consentOfPerson,
  type Choices,
  type ConsentReason,
  type DeviceConsent,
  type LastUse,
  type PersonConsentInput,
  type PersonFlags,
  type PurposeConsent,
} from "./consent-of-people/consent-of-person.ts";
export { chainChoices, type ChainHead, type StoredChoice } from "./consent-record/chain-choices.ts";
export { verifyChain, type BrokenLink, type ChainResult } from "./consent-record/verify-chain.ts";
export { consentSettingOf, type ConsentSetting } from "./consent-record/consent-setting.ts";
export { hashOfFiled, noticeHash, noticeTexts, wholeNotice, type NoticeText } from "./consent-record/notice-text.ts";
export {
  type BeforeChoice,
  type Site,
  type SiteDirectory,
  type SiteKey,
  type TraitKind,
} from "./ports/site-directory.ts";
export {
  arrivalText,
  createArrivals,
  hourMs,
  parseArrival,
  type Arrival,
  type ArrivalBlock,
} from "./ledger/arrivals.ts";
export { createLedgerBook, type LedgerBook, type LedgerPage, type Spans } from "./ledger/ledger-book.ts";
export {
  hourText,
  type ArrivalEntry,
  type ArrivalOutcome,
  type ClientOutcome,
  type LedgerEntry,
} from "./ledger/ledger-entry.ts";
export { createMessageHash, type MessageHash } from "./row/message-hash.ts";
export { ruleVersion, type EventRow, type RejectedRow } from "./row/event-row.ts";
export {
  createClientAddressReader,
  createProxyCheck,
  type ClientAddress,
  type EdgeSettings,
} from "./edge/client-address.ts";
export { createHealthHandler, type HealthChecks } from "./health/health-handler.ts";
export { createGate, type Gate } from "./health/gate.ts";
export { errorKind, errorText } from "./health/error-text.ts";
export { createStuckGuard, type StuckGuard } from "./health/stuck-guard.ts";
export { requestIdOf } from "./health/request-id.ts";
export { createProgressWatch, type ProgressWatch } from "./health/progress-watch.ts";
export { createJsonLogger, type LogFields, type Logger } from "./ports/logger.ts";
export {
  createPipeline,
  type Pipeline,
  type PipelineDeps,
  type PipelineObserver,
  type PipelineResult,
} from "./pipeline/pipeline.ts";
export { createPlaceReader, regimeIn } from "./pipeline/visitor-place.ts";
export { createRecordEncoder } from "./pipeline/log-record.ts";
export { repairs, stepNames, type Repair, type RequestContext, type StepName } from "./pipeline/step.ts";
export { narrowByRecord, previousVisitorsOf, recordedChoice, visitorOf } from "./pipeline/consent-narrow.ts";
export { scrubUrlText } from "./pipeline/scrub-text.ts";
export { findJsonFault } from "./config/find-json-fault.ts";
export { nearestName } from "./config/nearest-name.ts";
export { parseConfig, type ConfigResult } from "./config/parse-config.ts";
export { type ConfigProblem } from "./config/read-by-rule.ts";
export { type PolderConfig, type SiteConfig } from "./config/config-rule.ts";
export { configJsonSchema } from "./config/config-schema.ts";
export {
  createReloadableDirectory,
  createSiteDirectory,
  type Clock,
  type ReloadableDirectory,
} from "./config/site-directory.ts";
export {
  type AudienceDefinition,
  type Condition,
  type EventCondition,
  type OneEvent,
  type SequenceCondition,
  type SequenceStep,
  type Sum,
  type TouchCondition,
} from "./audience/audience-definition.ts";
export { comparisonNames, type Comparison, type NumberComparison, type Scalar } from "./audience/comparison.ts";
export {
  filterColumns,
  splitPropertyPath,
  type ColumnFilter,
  type EventFilter,
  type FilterColumn,
  type PropertyFilter,
  type PropertyPath,
} from "./audience/event-filter.ts";
export {
  audienceJsonSchema,
  parseAudience,
  type AudienceFault,
  type AudienceResult,
} from "./audience/parse-audience.ts";
export { readyMadeAudiences, type ReadyMadeAudience } from "./audience/ready-made.ts";
export { audiencesIn, computedTraitsIn, findReferenceFaults } from "./audience/references.ts";
export {
  computedTraitJsonSchema,
  computedTraitType,
  defaultMost,
  parseComputedTrait,
  type ComputedTrait,
  type ComputedTraitResult,
  type ComputedTraitType,
  type TraitComputation,
} from "./traits/computed-trait.ts";
export { durationMs, isFixedWindow, type Duration, type FixedWindow, type Window } from "./audience/window.ts";
export { createErasedKeys, keysOf, keysToErase, type ErasedIdentity, type ErasedKeys } from "./erasure/erased-keys.ts";
export {
  type ErasedIds,
  type ErasedPart,
  type Erasure,
  type ErasureKind,
  type ErasureOrder,
  type ErasureReceipt,
  type ErasureStore,
  type ErasureSummary,
  type RequestedErasure,
} from "./ports/erasure-store.ts";
export { type ImportStore, type PeopleIds, type StoredImport, type StoredVersion } from "./ports/import-store.ts";
export { importFields, importKinds, isImportKind, type ImportKind } from "./import/import-kinds.ts";
export { parseImportMapping, type ImportMapping, type MappingResult } from "./import/import-mapping.ts";
export { importMappingJsonSchema } from "./import/mapping-schema.ts";
export { proposeMapping, type ProposedMapping } from "./import/propose-mapping.ts";
export { CsvError, openCsv, type CsvFile, type CsvRow } from "./import/read-csv.ts";
export { createRowPlanner, importContext } from "./import/plan-row.ts";
export { createImportSender, ImportStoppedError, type ImportSend, type PostAnswer } from "./import/send-import.ts";
export { noCounts, runImport, type ImportCounts, type ImportOutcome, type RefusedRow } from "./import/run-import.ts";
export {
  importKeyFault,
  importRateOf,
  openImport,
  type OpenedImport,
  type OpenImportResult,
} from "./import/open-import.ts";
