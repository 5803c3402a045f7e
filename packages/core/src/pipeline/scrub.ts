import type { Json, JsonObject } from "@polder/protocol";
import { clickIdKinds } from "./campaign.ts";
import { isSecretName, scrubText, scrubUrlText } from "./scrub-text.ts";
import { decodeQueryText, splitUrl } from "./split-url.ts";
import type { Repair, Step, Utm } from "./step.ts";

const removed = "[removed]";
const maxTitleLength = 500;

/** What a page event states about its page is in columns; a second copy would bring back what is taken out of them. */
const pageProperties = new Set(["url", "path", "search", "referrer", "title", "name"]);

/**
 * Takes secrets and personal numbers out of addresses, texts and properties. Values of type number are left alone: an order total
 * is not a card. Names that say they hold a secret lose their value. Ids and amounts given as text keep it: every eleventh
 * product number of nine digits passes the eleven-test.
 */
export function createScrubStep(deps: { onRepair: (repair: Repair) => void }): Step {
  const cleanTitle = createTitleCleaner();
  return {
    name: "scrub",
    run(draft) {
      const { event, row, page, referrer } = draft;
      page.clean ??= { path: scrubPath(page.path), query: scrubQuery(page.query), utm: scrubUtm(page.utm) };
      row.url_path = page.clean.path;
      row.url_query = page.clean.query;
      const { utm } = page.clean;
      row.utm_source = utm.source;
      row.utm_medium = utm.medium;
      row.utm_campaign = utm.campaign;
      row.utm_term = utm.term;
      row.utm_content = utm.content;
      row.referrer_path = referrer.cleanPath ??= scrubPath(referrer.path);
      row.page_title = cleanTitle(row.page_title);

      const given = event.properties;
      if (given !== undefined) {
        const isPage = event.type === "page" || event.type === "screen";
        const own = isPage ? without(given, pageProperties) : given;
        row.properties = scrubObject(own);
        if (row.properties !== own) deps.onRepair("text_scrubbed");
      }
      if (draft.mayIdentify && (event.type === "identify" || event.type === "group") && event.traits !== undefined)
        draft.traits = scrubTraits(event.traits);
      return draft;
    },
  };
}

/** Cut when it is clean: half an e-mail address is not recognised as one any more. The events of a request share it, mostly. */
function createTitleCleaner(): (title: string) => string {
  let known = "";
  let clean = "";
  return (title) => {
    if (title !== known) {
      known = title;
      clean = scrubUrlText(title).slice(0, maxTitleLength);
    }
    return clean;
  };
}

const scrubUtm = (utm: Utm): Utm => ({
  source: scrubUrlText(utm.source),
  medium: scrubUrlText(utm.medium),
  campaign: scrubUrlText(utm.campaign),
  term: scrubUrlText(utm.term),
  content: scrubUrlText(utm.content),
});

/** A path without session ids in it and without what {@link scrubUrlText} finds. */
function scrubPath(path: string): string {
  const semicolon = path.indexOf(";");
  return scrubUrlText(semicolon === -1 ? path : path.replace(/;[^/]*/g, ""));
}

/** A query without the parameters that are secrets or click ids. */
function scrubQuery(query: string): string {
  if (query === "") return query;
  const kept = query.split("&").filter((pair) => {
    const equals = pair.indexOf("=");
    const name = decodeQueryText(equals === -1 ? pair : pair.slice(0, equals)).toLowerCase();
    return !clickIdKinds.has(name) && !isSecretName(name);
  });
  return scrubUrlText(kept.join("&"));
}

/** An address found in a property, without what must not be kept. */
function scrubUrl(text: string): string {
  const { scheme, host, port, path, query, fragment } = splitUrl(text);
  const keptQuery = scrubQuery(query);
  // Single-page apps and sign-ins put parameters there as well.
  const keptFragment = scrubQuery(fragment);
  const bare = `${scheme}://${host}${port}${path === "/" && !text.includes("/", scheme.length + 3) ? "" : scrubPath(path)}`;
  return bare + (keptQuery === "" ? "" : `?${keptQuery}`) + (keptFragment === "" ? "" : `#${keptFragment}`);
}

const exactName =
  /(?:^|_|[a-z])(?:id|sku|number|nr|barcode|ean|gtin)s?$|^(?:total|revenue|value|amount|price|tax|shipping|discount|quantity)$/i;

function scrubValue(name: string, value: Json): Json {
  if (typeof value === "string") {
    if (value === "") return value;
    if (isSecretName(name)) return removed;
    if (value.startsWith("http://") || value.startsWith("https://")) return scrubUrl(value);
    return exactName.test(name) ? value : scrubText(value);
  }
  if (typeof value !== "object" || value === null) return value;
  return Array.isArray(value) ? scrubArray(name, value) : scrubObject(value);
}

/** The same object when there was nothing to take out. */
function scrubObject(given: JsonObject): JsonObject {
  let copy: JsonObject | undefined;
  for (const name in given) {
    if (!Object.hasOwn(given, name)) continue;
    const value = given[name]!;
    const scrubbed = typeof value === "number" || typeof value === "boolean" ? value : scrubValue(name, value);
    if (scrubbed !== value) {
      copy ??= { ...given };
      setOwn(copy, name, scrubbed);
    }
  }
  return copy ?? given;
}

function scrubArray(name: string, given: Json[]): Json[] {
  let copy: Json[] | undefined;
  for (const [index, value] of given.entries()) {
    const scrubbed = scrubValue(name, value);
    if (scrubbed !== value) {
      copy ??= [...given];
      copy[index] = scrubbed;
    }
  }
  return copy ?? given;
}

/** Traits are stated on purpose (an e-mail address, a phone number), so only what nobody may collect goes. */
function scrubTraits(given: JsonObject): JsonObject {
  const kept: JsonObject = {};
  for (const [name, value] of Object.entries(given)) {
    if (forbiddenTrait.test(name)) continue;
    setOwn(kept, name, typeof value === "string" ? scrubTraitText(value) : value);
  }
  return kept;
}

const forbiddenTrait =
  /passw|passphrase|pwd|secret|token|card[_-]?(?:number|no|nr)|credit[_-]?card|^(?:cvc|cvv|bsn|ssn|pin)$/i;
const scrubTraitText = (text: string): string => (exactTrait.test(text) ? text : scrubText(text));
/** A number of nine digits alone is some customer number more often than a citizen's. */
const exactTrait = /^\d{9}$/;

function without(given: JsonObject, names: ReadonlySet<string>): JsonObject {
  for (const name in given)
    if (names.has(name)) return Object.fromEntries(Object.entries(given).filter(([key]) => !names.has(key)));
  return given;
}

/** Plain assignment would run the setter of `__proto__`. */
function setOwn(target: JsonObject, name: string, value: Json): void {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}
