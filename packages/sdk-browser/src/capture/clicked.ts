import { maxReadChars, maxTextChars } from "../limits.ts";
import { scrub, scrubUrl } from "../scrub.ts";
import { attributeOf, is, pathOf, unreadable } from "./element.ts";

const clickable =
  "[href],button,summary,[type=submit],[type=button],[role=button],[role=link],[role=tab],[role=switch],[role^=menuitem],[data-polder-event]:not(form)";
const fileName = /\.(pdf|zip|rar|dmg|exe|apk|csv|epub|mp[34]|(doc|xls|ppt)x?)$/i;
/** An id or a first class that a person gave: what a build or a framework makes has digits or, in classes, capitals. */
const stableName = /(#[A-Za-z_-]+|\.[a-z_-]+)(?= )/;
const selectorLevels = 4;

/** `nav#menu > ul.links > li > a`. */
export const selectorOf = (path: Element[]): string =>
  path
    .slice(0, selectorLevels)
    .reverse()
    .map((element) => {
      const [name = ""] = `#${attributeOf(element, "id")} .${attributeOf(element, "class")} `.match(stableName) ?? [];
      return element.localName + name;
    })
    .join(" > ");

/** The link, button or marked element that was clicked, then what it is in. Nothing when it was none of them. */
export const clickedPath = (event: Event): Element[] => {
  const path = pathOf(event);
  const place = path.findIndex((element) => is(element, clickable));
  // The left button or the middle one, which opens a link in another tab.
  return place < 0 || (event as MouseEvent).button > 1 ? [] : path.slice(place);
};

/** What may be said of it: never the value of a field. */
export const describe = (path: Element[]): { [name: string]: unknown } => {
  const element = path[0]!;
  const isMixed = element.querySelector(`textarea,select,${unreadable}`);
  const text = isMixed ? "" : attributeOf(element, "aria-label") || element.textContent;
  const { protocol = "", origin, pathname = "", host } = element as Partial<HTMLAnchorElement>;
  const isWeb = protocol.startsWith("http");
  return {
    selector: selectorOf(path),
    text: scrub(text.slice(0, maxReadChars).replace(/\s+/g, " ").trim()).slice(0, maxTextChars) || undefined,
    // Queries and mail addresses may hold personal data: of a link only where it leads.
    ...(protocol && {
      href: isWeb ? scrubUrl(origin + pathname) : protocol,
      outbound: isWeb && host !== location.host,
      download: is(element, "[download]") || fileName.test(pathname),
    }),
  };
};
