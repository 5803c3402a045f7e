import type { Site, SiteDirectory } from "@polder/core";
import { choiceCookieName, decodeChoice, decodeDeviceId, deviceIdExpiresAt, hasPurpose } from "@polder/protocol";
import { refuse, type Refusal } from "../answer.ts";
import { cookieValues } from "../cookie-values.ts";
import { isOriginOf } from "../is-origin-of.ts";
import { createLinkTokens } from "../link-token.ts";
import type { RequestHead } from "../request-head.ts";

/** What a page asks: a token for its device's id and a page of `to`, or the id of a token that it was opened with. */
type Question = { writeKey?: unknown; to?: unknown; id?: unknown; token?: unknown };

export interface LinkDeps {
  sites: SiteDirectory;
  /** Undefined: links are not made here. All collectors of a site need the same one. */
  secret: string | undefined;
  /** Milliseconds since 1970. */
  now: () => number;
}

/**
 * Answers a page of the site with a token or an id, "" when it gets none. Both pages must be of the site: nobody's id goes to where the site's
 * owner has not said that its pages are.
 */
export function createLinkAnswers({
  sites,
  secret,
  now,
}: LinkDeps): (text: string, head: RequestHead) => string | Refusal {
  if (secret === undefined)
    return () => refuse("not_found", "Links between sites are off: start the collector with POLDER_LINK_SECRET.");
  const tokens = createLinkTokens({ secret, now });

  return (text, { header }) => {
    const { writeKey, to, id, token } = readQuestion(text);
    const key = typeof writeKey === "string" ? sites.findKey(writeKey) : undefined;
    if (key?.kind !== "write") return refuse("unknown_key", "Send a write key that somebody has.");
    const origin = header("origin") ?? "";
    if (origin === "" || !isOriginOf(key.site, origin))
      return refuse(
        "origin_refused",
        "Only a page of the site may ask: add it to the site's origins in polder.config.json.",
      );
    const binding = {
      siteId: key.site.id,
      userAgent: header("user-agent") ?? "",
      acceptLanguage: header("accept-language") ?? "",
    };

    if (typeof token === "string") return tokens.open(token, { ...binding, toHost: hostOf(origin) }) ?? "";
    if (typeof to !== "string" || typeof id !== "string")
      return refuse("invalid_body", "Send `to` and `id` for a token, or the `token` for its id.");
    const toHost = to.toLowerCase();
    if (!isHostOf(key.site, toHost))
      return refuse(
        "origin_refused",
        "The site has no pages there: add the origin to its origins in polder.config.json.",
      );
    const device = decodeDeviceId(id);
    const mayShare = device !== undefined && deviceIdExpiresAt(device, now()) > now() && !hasRefused(header("cookie"));
    return mayShare ? tokens.seal(id, { ...binding, toHost }) : "";
  };
}

function readQuestion(text: string): Question {
  try {
    return (JSON.parse(text) ?? {}) as Question;
  } catch {
    return {};
  }
}

const isHostOf = ({ origins }: Site, host: string): boolean =>
  origins.some((origin) => origin === "*" || hostOf(origin) === host);

const hostOf = (origin: string): string => (URL.canParse(origin) ? new URL(origin).hostname : "");

/** Where the choice reaches us in its cookie, or in any of several, and is no yes to a profile. Elsewhere the page is asked to know. */
function hasRefused(cookieHeader: string | undefined): boolean {
  return cookieValues(cookieHeader, choiceCookieName).some((value) => {
    const choice = decodeChoice(value);
    return choice !== undefined && !hasPurpose(choice.mask, "profile");
  });
}
