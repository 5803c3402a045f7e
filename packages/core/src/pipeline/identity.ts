import type { Repair, Step } from "./step.ts";
import { claimedTimeText } from "./time-text.ts";

/** What broken templates and login code send instead of an id. One "person" called `null` would join thousands. */
const notAnId = new Set([
  "null",
  "undefined",
  "none",
  "nil",
  "nan",
  "true",
  "false",
  "unknown",
  "anonymous",
  "guest",
  "not set",
  "(not set)",
  "not_set",
  "(none)",
  "n/a",
  "id",
  "userid",
  "user_id",
  "anonymousid",
  "anonymous_id",
  "[object object]",
  "-1",
]);
const onlyZeros = /^[0-]+$/;

/**
 * Ids that can stand for someone, or none. The body's `anonymousId` wins over our HttpOnly cookie: the page has already used it
 * for events that wait or are on their way, and after `reset()` the cookie is the stale one. The cookie helps where the body has
 * none (a pixel, a page that cannot read cookies).
 */
export function createIdentityStep(deps: { newId: () => string; onRepair: (repair: Repair) => void }): Step {
  const idOf = (value: string | undefined): string => {
    if (value === undefined) return "";
    const id = value.trim();
    if (isUsableId(id)) return id;
    deps.onRepair("id_refused");
    return "";
  };
  return {
    name: "identity",
    run(draft, context) {
      const { event, row } = draft;
      row.message_id = event.messageId || deps.newId();
      if (!draft.mayIdentify) return draft;

      row.anonymous_id = idOf(event.anonymousId) || context.cookieAnonymousId();
      row.user_id = idOf(event.userId);
      if (event.type === "alias") row.previous_id = idOf(event.previousId);
      const groupId = event.groupId ?? event.context?.["groupId"];
      if (typeof groupId === "string") row.group_id = idOf(groupId);

      const session = event.context?.session;
      if (session?.id !== undefined) {
        row.session_id = idOf(session.id);
        row.session_start = claimedTimeText(session.start);
        row.session_seq = session.seq < 2 ** 32 ? session.seq : 0;
      }
      return draft;
    },
  };
}

/** Whether a trimmed text can be the id of one person or device. */
export function isUsableId(id: string): boolean {
  if (id === "" || onlyZeros.test(id)) return false;
  // Longer texts cannot be on the list; most ids are longer.
  return id.length > 15 || !notAnId.has(id.toLowerCase());
}
