export {
  createPolder,
  type Polder,
  type PolderOptions,
  type TraceEntry,
  type TrackArguments,
  type TrackingPlan,
} from "./create-polder.ts";
export { allCaptures, everyCapture } from "./all-captures.ts";
export { capturePageViews } from "./capture/page-view.ts";
export { captureClicks } from "./capture/click.ts";
export { captureFormSubmits } from "./capture/form-submit.ts";
export { captureFormAbandonment } from "./capture/form-abandon.ts";
export { captureFormIdentify, createFormIdentify } from "./capture/form-identify.ts";
export { captureEngagement } from "./capture/engagement.ts";
export { captureWebVitals } from "./capture/web-vitals.ts";
export { captureErrors } from "./capture/errors.ts";
export { captureRageClicks } from "./capture/rage-click.ts";
export { linkDomains, type LinkOptions } from "./linker.ts";
export { captureDeadClicks } from "./capture/dead-click.ts";
export type { Capture, CaptureTools } from "./capture/capture.ts";
export type { CallOptions, Line, Middleware } from "./tracker.ts";
export type { Choice, ChoiceDetails, ConsentStatus, Notice } from "./consent.ts";
export { askRegime, type RegimeFinder } from "./regime.ts";
export { readTcf, type TcfOptions } from "./reader/tcf.ts";
export { readGpp } from "./reader/gpp.ts";
export { readConsentMode, type ConsentModeOptions } from "./reader/consent-mode.ts";
export type { PlatformPurposes } from "./reader/platform.ts";
export { showBanner, type BannerNotice, type BannerText } from "./banner.ts";
export type { BannerWords } from "./banner-texts.ts";
export { stub } from "./stub.ts";
export { version } from "./version.ts";
