import type { EventType } from "@polder/protocol";
import type { CallOptions, Fields } from "../tracker.ts";

/** What one thing that is measured gets to work with. */
export interface CaptureTools {
  record(type: EventType, fields: Fields, options?: CallOptions): void;
  /** Whether the page that is shown has been counted as viewed. */
  hasViewed(): boolean;
  viewAgain(): void;
  /** Listens in the capture phase, so that a page which stops the event does not hide it. Errors stay here. */
  on(target: EventTarget, type: string, handle: (event: Event) => void): void;
  /** Runs after every choice, here or in another tab. */
  onChoice(run: () => void): void;
}

export type Capture = (tools: CaptureTools) => void;

/** `data-polder-private` on an element keeps us out of everything within it; what can be edited is never read either. */
export const isPrivate = (element: Element): boolean =>
  !!element.closest("[data-polder-private],[contenteditable]:not([contenteditable=false])");
