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
export {
  parseRequest,
  type AcceptedItem,
  type ParsedItem,
  type ParsedRequest,
  type ParseResult,
  type RefusedItem,
  type RequestRoute,
} from "./parse-request.ts";
export { browserScripts, postRoutes } from "./routes.ts";
export { consentOf, readConsentStamp } from "./consent-stamp.ts";
export { canonicalText, underCurrentTexts, type CurrentTexts, type PurposeText } from "./purpose-text.ts";
export {
  defaultGrantLifetimeMs,
  grantedPurposes,
  permittedPurposes,
  tighterRegime,
  unrefusedPurposes,
  type PermitInput,
} from "./permitted.ts";
export {
  choiceTimesLength,
  choiceTimesOf,
  gpcTimesOf,
  isSameTimes,
  joinChoices,
  newestOf,
  recordedChoiceOf,
  refusedAfter,
  stricterOf,
  type ChoiceAct,
  type ChoiceTimes,
  type RecordedChoice,
} from "./recorded-choice.ts";
export {
  choiceCookieName,
  decodeChoice,
  decodeRegime,
  encodeChoice,
  encodeRegime,
  refusalPeriodMs,
  type LooserRegime,
  type StoredChoice,
  type StoredRegime,
} from "./choice-cookie.ts";
export {
  decodeDeviceId,
  deviceIdCookieName,
  deviceIdExpiresAt,
  deviceIdHttpOnlyCookieName,
  deviceIdLifetimeMs,
  encodeDeviceId,
  type DeviceId,
} from "./device-id.ts";
export { hasLoneSurrogate, toWellFormed, utf8Length } from "./unicode.ts";
export { requestErrors } from "./request-error.ts";
export { eventJsonSchema } from "./event-json-schema.ts";
export { openApi, type OpenApiOptions } from "./open-api.ts";
export { eventFields, eventNeeds, type Field, type Fields, type Need } from "./event-fields.ts";
