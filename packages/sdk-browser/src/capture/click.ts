import { maxTextChars } from "../limits.ts";
import { scrub } from "../scrub.ts";
import { isPrivate, type Capture } from "./capture.ts";
import { markedEvent, markedProperties } from "./marked.ts";

const clickable = "a[href],button,[role=button],input[type=submit],input[type=button],[data-polder-event]:not(form)";
const unreadable = "[data-polder-private],[contenteditable],textarea,select";

/** Clicks on links and buttons, and on what the page marked with `data-polder-event`. Never the value of a field. */
export const captureClicks: Capture = ({ record, on }) => {
  const handle = (event: Event): void => {
    const target = event.composedPath()[0] as Element;
    const element = target.closest(clickable);
    // The left button or the middle one, which opens a link in another tab.
    if (!element || isPrivate(target) || (event as MouseEvent).button > 1) return;
    const text = element.getAttribute("aria-label") ?? (element.querySelector(unreadable) ? "" : element.textContent);
    const { protocol, origin, pathname, host } = element as Partial<HTMLAnchorElement>;
    const isWeb = origin?.startsWith("http");
    record("track", {
      event: markedEvent(element) || "Clicked",
      properties: {
        tag: element.localName,
        id: element.id || undefined,
        text: scrub(text.replace(/\s+/g, " ").trim()).slice(0, maxTextChars) || undefined,
        // Queries and mail addresses may hold personal data: of a link only where it leads.
        ...(origin && { href: isWeb ? `${origin}${pathname}` : protocol, outbound: !!isWeb && host !== location.host }),
        ...markedProperties(element),
      },
    });
  };
  on(document, "click", handle);
  on(document, "auxclick", handle);
};
