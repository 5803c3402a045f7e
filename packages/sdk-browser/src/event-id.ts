import { randomId } from "./random-id.ts";

let burst = "";
let made = 0;

/**
 * Id of one event. Random once a task, then numbered: cheaper to make, to send and to store. No longer than a task, or the ids would
 * tell that events belong together where the visitor said no to that.
 */
export const eventId = (): string => {
  if (!burst) {
    burst = randomId();
    made = 0;
    queueMicrotask(() => (burst = ""));
  }
  return `${burst}.${made++}`;
};
