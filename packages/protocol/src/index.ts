export { hasPurpose, maskOf, purposes, purposesOf, type Purpose, type PurposeMask } from "./purpose.ts";
export { limits } from "./limits.ts";
export {
  dropReasons,
  rejectReasons,
  requestErrorCodes,
  type DropReason,
  type RejectReason,
  type RequestErrorCode,
} from "./reason.ts";
export {
  consentStates,
  eventTypes,
  origins,
  regimes,
  type BatchAnswer,
  type ConsentStamp,
  type ConsentState,
  type ErrorAnswer,
  type EventContext,
  type EventType,
  type Json,
  type JsonObject,
  type Origin,
  type PolderEvent,
  type Receipt,
  type Regime,
  type RejectedEvent,
} from "./event.ts";
