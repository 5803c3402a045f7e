import { hasPurpose, limits } from "@polder/protocol";
import type { ConsentStamp, Json, PolderEvent } from "@polder/protocol";
import type { Site, TraitKind } from "../ports/site-directory.ts";
import { readMoney } from "./money.ts";
import type { Draft, Repair, Step } from "./step.ts";
import { traitKindOf } from "./trait-kinds.ts";

/** What is left of the row: its name, its page group, money, traits and choices. */
export function createRowStep(deps: { onRepair: (repair: Repair) => void }): Step {
  return {
    name: "row",
    run(draft, context) {
      const { event, row } = draft;
      const { site } = context.key;
      row.page_group = nameText(pageGroupOf(event, row.url_path));
      row.locale = nameText(event.context?.locale);
      row.timezone = nameText(event.context?.timezone);
      row.library = nameText(libraryOf(event));
      if (event.type === "track") {
        row.name = event.event ?? "";
        row.order_id = idText(row.properties["order_id"] ?? row.properties["orderId"]);
        const isRefund = row.name === "Order Refunded";
        if (isRefund || row.name === "Order Completed") {
          const money = readMoney(row.properties, site.currency, isRefund);
          if (money === undefined) deps.onRepair("amount_refused");
          row.amount = money?.amount ?? "0";
          row.currency = money?.currency ?? "";
        }
      } else if (event.type === "consent") {
        const chosen = draft.stamp?.purposes ?? {};
        row["choice.purpose"] = Object.keys(chosen);
        row["choice.state"] = Object.values(chosen);
        row.notice = noticeText(draft.stamp, context.gpc);
      } else if (event.type === "identify" || event.type === "group") {
        putTraits(draft, site);
      }
      return draft;
    },
  };
}

/** Traits whose purpose is granted. What is said of a group is no trait of the person, so its names start with `group.`. */
function putTraits({ event, row, traits }: Draft, site: Site): void {
  const prefix = event.type === "group" ? "group." : "";
  const names: string[] = [];
  const values: string[] = [];
  const kinds: TraitKind[] = [];
  for (const [name, value] of Object.entries(traits)) {
    const kind = traitKindOf(site, name);
    if (!hasPurpose(row.consent_mask, kind.purpose)) continue;
    names.push(prefix + name);
    values.push(typeof value === "string" ? value : JSON.stringify(value));
    kinds.push(kind);
  }
  row["traits.name"] = names;
  row["traits.value"] = values;
  row["traits.class"] = kinds.map((kind) => kind.class);
  row["traits.purpose"] = kinds.map((kind) => kind.purpose);
  row["traits.personal"] = kinds.map((kind) => (kind.personal ? 1 : 0));
}

function pageGroupOf(event: PolderEvent, path: string): string {
  if (event.type === "page" || event.type === "screen") {
    const given = event.name ?? event.properties?.["name"];
    if (typeof given === "string" && given !== "") return given;
  }
  if (path === "") return "";
  const end = path.indexOf("/", 1);
  return end === -1 ? path : path.slice(0, end);
}

/** Of what is no name on the wire and is used as one. */
const nameText = (text = ""): string =>
  text.length > limits.maxNameLength ? text.slice(0, limits.maxNameLength) : text;

const idText = (value: Json | undefined): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : "";

function libraryOf({ context }: PolderEvent): string {
  const library = context?.library;
  if (library?.name === undefined) return "";
  return library.version === undefined ? library.name : `${library.name}/${library.version}`;
}

/** What was shown when the choice was made, and whether Global Privacy Control was on, as JSON. */
function noticeText(stamp: ConsentStamp | undefined, gpc: boolean): string {
  const shown = {
    ...stamp?.notice,
    ...(stamp?.texts !== undefined && { texts: stamp.texts }),
    ...((gpc || stamp?.gpc === true) && { gpc: true }),
  };
  return Object.keys(shown).length === 0 ? "" : JSON.stringify(shown);
}
