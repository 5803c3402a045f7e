import type { ConsentStamp, DropReason, JsonObject, PolderEvent, RejectReason } from "@polder/protocol";
import type { VisitorChoices } from "../ports/consent-ledger.ts";
import type { SiteKey } from "../ports/site-directory.ts";
import type { EventRow } from "../row/event-row.ts";

/** What is known about the request that brought an event. Made once a request. */
export interface RequestContext {
  key: SiteKey;
  /** Milliseconds since 1970, our clock. */
  receivedAt: number;
  /** The sender's clock when the request left, ISO 8601. */
  sentAt?: string;
  /** Address of the visitor's connection; empty when unknown. */
  ip: string;
  /** Country by an edge we trust; empty when there is none. */
  country: string;
  userAgent: string;
  /** Global Privacy Control, by header. */
  gpc: boolean;
  /** Id in our HttpOnly cookie; empty when there is none. Asked only where an event names nobody. */
  cookieAnonymousId: () => string;
  /** Whether the cookie that keeps a choice on the device says no to measurement. Asked only of what would be counted without a choice. */
  cookieRefusesMeasurement: () => boolean;
  /** What its events chose so far, joined with what was recorded: the rest of them is judged by it too. To be recorded before the answer. */
  choices: VisitorChoices[];
}

/**
 * An event on its way through the steps. They fill in the columns of its row, in place: one object an event instead of one a step.
 */
export interface Draft {
  event: PolderEvent;
  /** As the log will keep it; columns that no step filled in hold their default. */
  row: EventRow;
  stamp: ConsentStamp | undefined;
  /** Whether ids, traits and the session may be kept. */
  mayIdentify: boolean;
  page: Page;
  referrer: Referrer;
  /** Of identify and group, without what may not be kept. */
  traits: JsonObject;
}

/** What an address says, found out once for all events that happened on it. */
export interface Page {
  host: string;
  path: string;
  query: string;
  utm: Utm;
  /** What the first click id in the query points to. */
  clickMedium: ClickMedium | undefined;
  clickIdKind: string;
  clickId: string;
  /** Filled in by the step that takes out what must not be kept. */
  clean: { path: string; query: string; utm: Utm } | undefined;
}

export type ClickMedium = "paid" | "social" | "mail";

export interface Utm {
  source: string;
  medium: string;
  campaign: string;
  term: string;
  content: string;
}

export interface Referrer {
  host: string;
  path: string;
  /** Undefined: not on the list of known sites. */
  medium: string | undefined;
  cleanPath: string | undefined;
}

/** `rejected` is stored, with what was sent where that is allowed; `dropped` is counted and nothing of it is kept. */
export type Stop =
  | { stop: "rejected"; reason: RejectReason; detail: string }
  | { stop: "dropped"; reason: DropReason; detail: string };

/** In order. Before them `parseRequest` has parsed, and refused what is beyond the limits. */
export const stepNames = [
  "site",
  "consent",
  "clock",
  "identity",
  "address",
  "agent",
  "campaign",
  "scrub",
  "row",
] as const;
export type StepName = (typeof stepNames)[number];

/** Things a step put right without refusing the event. */
export const repairs = ["consent_narrowed", "id_refused", "clock_bounded", "amount_refused", "text_scrubbed"] as const;
export type Repair = (typeof repairs)[number];

export interface Step {
  name: StepName;
  run(draft: Draft, context: RequestContext): Draft | Stop;
}
