import type { EventType } from "@polder/protocol";
import type { Decision } from "../consent.ts";
import type { PageContext } from "../page-context.ts";
import type { CallOptions, Fields, Line, Moment } from "../tracker.ts";

/** What one thing that is measured gets to work with. */
export interface CaptureTools {
  /** As in the options of `createPolder`. */
  site: string;
  host: string;
  /** The choice that holds now. */
  decision(): Decision;
  /** What finished events go through. */
  line: Line;
  /** @param moment where and when it happened; here and now when absent. @returns whether it is kept, or waits for a choice. */
  record(type: EventType, fields: Fields, options?: CallOptions, moment?: Moment): unknown;
  /** The page that is shown: the same object until the address changes. */
  currentPage(): PageContext;
  /**
   * Listens in the capture phase, so that a page which stops the event does not hide it. Errors stay here. What is recorded on
   * `pagehide` and on a change to hidden still leaves with the page: captures hear of both before the sender does.
   * @param isFirst false: after the page's own listeners. True when absent.
   */
  on(target: EventTarget, type: string, handle: (event: Event) => void, isFirst?: boolean): void;
  /** Runs after every choice, here or in another tab. */
  onChoice(run: () => void): void;
}

export type Capture = (tools: CaptureTools) => void;
