import { hasPurpose } from "@polder/protocol";
import type { EventContext } from "@polder/protocol";
import { createBoundedCache, type BoundedCache } from "./bounded-cache.ts";
import { referrerMedium } from "./referrer-medium.ts";
import { decodeQueryText, splitUrl } from "./split-url.ts";
import type { ClickMedium, Page, Referrer, RequestContext, Step, Utm } from "./step.ts";

/** Parameters that advertising networks and mail senders add to tell one click, or one person, from all others. */
export const clickIdKinds: ReadonlyMap<string, ClickMedium> = new Map([
  ["gclid", "paid"],
  ["gbraid", "paid"],
  ["wbraid", "paid"],
  ["dclid", "paid"],
  ["gad_source", "paid"],
  ["msclkid", "paid"],
  ["ttclid", "paid"],
  ["twclid", "paid"],
  ["li_fat_id", "paid"],
  ["rdt_cid", "paid"],
  ["sccid", "paid"],
  ["yclid", "paid"],
  ["epik", "paid"],
  // On every link out of the network, paid or not.
  ["fbclid", "social"],
  ["igshid", "social"],
  ["igsh", "social"],
  ["mc_eid", "mail"],
  ["_hsenc", "mail"],
  ["_kx", "mail"],
  ["vero_id", "mail"],
  ["mkt_tok", "mail"],
]);
const maxClickIdLength = 500;
const maxUtmLength = 200;
// All events of a request can share a page, which is in the row of each.
const maxAddressLength = 4096;

// Most events happen on a page that another one just happened on.
const rememberedPages = 2_000;

/** Page, referrer, campaign and channel. Click ids are kept with consent for ads only; the channel they point to always. */
export function createCampaignStep(): Step {
  const ownHosts = createOwnHosts();
  const pages = createBoundedCache<string, Page>(rememberedPages);
  const referrers = createBoundedCache<string, Referrer>(rememberedPages);
  return {
    name: "campaign",
    run(draft, context) {
      const { event, row } = draft;
      const stated = event.context?.page;
      // Segment's clients state the page in the context, and a page call states it in its properties as well.
      const { properties } = event;
      const url = shortened(stated?.url || textOf(properties?.["url"]));
      const from = shortened(stated?.referrer || textOf(properties?.["referrer"]));
      row.page_title = stated?.title || textOf(properties?.["title"]);

      const page = url === "" ? noPage : recall(pages, url, readPage);
      const path = page.path !== "" ? page.path : shortened(stated?.path || textOf(properties?.["path"]));
      draft.page = path === page.path ? page : { ...page, path, clean: undefined };

      if (from !== "") draft.referrer = recall(referrers, from, readReferrer);

      row.url_host = page.host;
      row.referrer_host = draft.referrer.host;
      const utm = withStated(page.utm, event.context?.campaign);
      if (utm !== page.utm) draft.page = { ...draft.page, utm, clean: undefined };
      if (page.clickIdKind !== "" && hasPurpose(row.consent_mask, "ads")) {
        row.click_id_kind = page.clickIdKind;
        row.click_id = page.clickId;
      }
      if (path !== "") {
        const { host } = draft.referrer;
        const isInternal = host !== "" && (host === page.host || ownHosts(context).has(host));
        row.channel = channelOf(utm, page.clickMedium, draft.referrer, isInternal);
      }
      return draft;
    },
  };
}

const noUtm: Utm = { source: "", medium: "", campaign: "", term: "", content: "" };
export const noPage: Page = {
  host: "",
  path: "",
  query: "",
  utm: noUtm,
  clickMedium: undefined,
  clickIdKind: "",
  clickId: "",
  clean: undefined,
};
export const noReferrer: Referrer = { host: "", path: "", medium: undefined, cleanPath: undefined };

function recall<Value>(known: BoundedCache<string, Value>, address: string, read: (address: string) => Value): Value {
  let value = known.get(address);
  if (value === undefined) {
    value = read(address);
    known.set(address, value);
  }
  return value;
}

function readPage(address: string): Page {
  const { host, path, query } = splitUrl(address);
  const page: Page = { ...noPage, host, path, query, clean: undefined };
  if (query === "") return page;
  const utm = { ...noUtm };
  for (const pair of query.split("&")) {
    const equals = pair.indexOf("=");
    if (equals === -1 || equals === pair.length - 1) continue;
    const name = decodeQueryText(pair.slice(0, equals)).toLowerCase();
    const medium = clickIdKinds.get(name);
    if (name.startsWith("utm_") && isUtmField(name.slice(4))) {
      utm[name.slice(4) as UtmField] = decodeQueryText(pair.slice(equals + 1)).slice(0, maxUtmLength);
    } else if (medium !== undefined && (page.clickMedium === undefined || medium === "paid")) {
      // A paid click says more than the marker of the network that it came through.
      page.clickMedium = medium;
      page.clickIdKind = name;
      page.clickId = decodeQueryText(pair.slice(equals + 1)).slice(0, maxClickIdLength);
    }
  }
  page.utm = utm;
  return page;
}

function readReferrer(address: string): Referrer {
  const { host, path } = splitUrl(address);
  return { host, path, medium: host === "" ? undefined : referrerMedium(host, path), cleanPath: undefined };
}

/** What the client says of the campaign wins over what the address does. The same object when it says nothing. */
function withStated(utm: Utm, stated: EventContext["campaign"]): Utm {
  if (stated === undefined) return utm;
  return {
    source: stated.source?.slice(0, maxUtmLength) || utm.source,
    medium: stated.medium?.slice(0, maxUtmLength) || utm.medium,
    campaign: stated.name?.slice(0, maxUtmLength) || utm.campaign,
    term: stated.term?.slice(0, maxUtmLength) || utm.term,
    content: stated.content?.slice(0, maxUtmLength) || utm.content,
  };
}

const paidMedium = /^(?:.*(?:cpc|ppc|cpm|cpv|cpa|paid).*|display|banner|retargeting|remarketing|affiliate|ads?)$/;
const mailMedium = /^(?:e-?mail|e_mail|mail|newsletter|.*-mail)$/;
const socialMedium = /^(?:.*social.*|sm)$/;

/** Paid first (someone pays for that click), then what the link says of itself, then where the visitor came from. */
function channelOf(utm: Utm, clickMedium: ClickMedium | undefined, referrer: Referrer, isInternal: boolean): string {
  const medium = utm.medium.toLowerCase();
  if (clickMedium === "paid" || (medium !== "" && paidMedium.test(medium))) return "paid";
  if (medium !== "") {
    if (mailMedium.test(medium)) return "mail";
    if (socialMedium.test(medium)) return "social";
    if (medium === "organic" || medium === "search") return "search";
    if (medium === "referral") return "referral";
  }
  if (clickMedium !== undefined) return clickMedium;
  if (isInternal) return "internal";
  if (referrer.host !== "") return referrer.medium ?? "referral";
  return utm.source !== "" ? "referral" : "direct";
}

type UtmField = "source" | "medium" | "campaign" | "term" | "content";
const isUtmField = (field: string): field is UtmField =>
  field === "source" || field === "medium" || field === "campaign" || field === "term" || field === "content";

/**
 * An address that is too long ends with the last of its parts that is whole: half an e-mail address is not recognised as one any more.
 * A copy: a slice would keep all of what it was cut from, for as long as it is remembered.
 */
function shortened(address: string): string {
  if (address.length <= maxAddressLength) return address;
  const start = address.slice(0, maxAddressLength);
  const end = Math.max(...["/", "?", "&", "#"].map((mark) => start.lastIndexOf(mark)));
  return Buffer.from(start.slice(0, Math.max(end, 0))).toString();
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** Hosts of a site's origins: a link between two of them is not a visit from elsewhere. */
function createOwnHosts(): (context: RequestContext) => ReadonlySet<string> {
  const known = createBoundedCache<readonly string[], ReadonlySet<string>>(1_000);
  return ({ key }) => {
    const { origins } = key.site;
    let hosts = known.get(origins);
    if (hosts === undefined) {
      hosts = new Set(origins.map((origin) => splitUrl(origin).host).filter((host) => host !== ""));
      known.set(origins, hosts);
    }
    return hosts;
  };
}
