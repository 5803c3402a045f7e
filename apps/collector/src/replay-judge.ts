import {
  createPipeline,
  createRecordEncoder,
  narrowByRecord,
  visitorKey,
  type ConsentLedger,
  type EventRow,
  type LogRecord,
  type RequestContext,
  type SiteDirectory,
  type SiteKey,
  type VisitorChoices,
} from "@polder/core";
import { hasPurpose, parseRequest, refusedAfter, type PolderEvent, type Purpose } from "@polder/protocol";

/** An event that was refused, as the table `rejected` has it. */
export interface KeptRefusal {
  site: string;
  /** Milliseconds since 1970. */
  receivedAt: number;
  messageId: string;
  /** Of an event that came without one: the same whenever this refusal is judged. */
  idWithout: string;
  body: string;
}

export type ReplayVerdict =
  | { ok: true; record: LogRecord; choices: readonly VisitorChoices[] }
  /**
   * `not_kept`: nothing of it was kept; `cut`: only its beginning; `unknown_site`: no site of the configuration; `refused` and `not_allowed`: by the
   * rules and the choices of today, with the reason.
   */
  | { ok: false; why: "not_kept" | "cut" | "unknown_site" | "refused" | "not_allowed"; reason: string };

export interface ReplayJudge {
  /** Judges what was sent by the rules of today. */
  judgeEvent(refusal: KeptRefusal): ReplayVerdict;
  /**
   * Judges a row that the rules have let through before: by what its visitor has said since.
   * @param isRecorded of a choice: it is in the record of choices, so that nothing has to be carried out for it any more.
   */
  judgeRow(record: LogRecord, isRecorded?: boolean): ReplayVerdict;
}

export interface ReplayJudgeDeps {
  sites: SiteDirectory;
  /** Of the moment. */
  ledger: Pick<ConsentLedger, "latest" | "timesOf">;
  /** Milliseconds since 1970. */
  now: () => number;
  /** As whom events were sent; when not given, as a page whose key has no basis of its own. */
  key?: SiteKey | undefined;
}

/**
 * The collector's rules for events that come a second time. What the request brought besides the event was not kept: its address, its browser,
 * its cookies, its signal for privacy. All of it counts as unknown, and the signal and a refusal in a cookie as given, since they can only forbid.
 */
export function createReplayJudge({ sites, ledger, now, key: given }: ReplayJudgeDeps): ReplayJudge {
  let id = "";
  const pipeline = createPipeline({ ledger, countryOf: () => "", newId: () => id });
  const toRecord = createRecordEncoder();

  const contextOf = (key: SiteKey, event: PolderEvent, receivedAt: number): RequestContext => ({
    key,
    receivedAt,
    ip: "",
    country: "",
    userAgent: event.context?.userAgent ?? "",
    // A choice says itself what it was made under.
    gpc: event.type !== "consent",
    cookieAnonymousId: () => "",
    cookieRefusesMeasurement: () => true,
    choices: [],
  });

  return {
    judgeEvent({ site: siteId, receivedAt, messageId, idWithout, body }) {
      const site = sites.findSite(siteId);
      if (site === undefined || (given !== undefined && given.site.id !== siteId)) return stop("unknown_site", siteId);
      if (body === "") return stop("not_kept", "");
      if (!isJson(body)) return stop("cut", "");
      const key: SiteKey = given ?? { site, kind: "write" };
      const parsed = parseRequest(`{"batch":[${body}]}`, "batch");
      const [item] = parsed.ok ? parsed.items : [];
      if (item === undefined) return stop("refused", "invalid_body");
      if (!item.ok) return stop("refused", item.reason);
      const { event } = item;
      id = messageId || idWithout;

      const today = pipeline.run(event, contextOf(key, event, now()));
      if (!today.ok) return stop(today.stop === "rejected" ? "refused" : "not_allowed", today.reason);
      // Times go by when it came, and what was not allowed then is not allowed by a later change of heart.
      const whenItCame = contextOf(key, event, receivedAt);
      const then = pipeline.run(event, whenItCame);
      if (!then.ok) return stop(then.stop === "rejected" ? "refused" : "not_allowed", then.reason);
      const row = stricter(today.row, then.row);
      if (event.context?.userAgent === undefined && key.kind === "write") forgetBrowser(row);
      // By the clock of today an old choice would undo what was chosen after it.
      return { ok: true, record: toRecord(row), choices: event.type === "consent" ? whenItCame.choices : [] };
    },

    judgeRow(record, isRecorded = false) {
      const row = JSON.parse(Buffer.from(record.value).toString()) as StoredRow;
      const site = sites.findSite(row.site);
      if (site === undefined) return stop("unknown_site", row.site);
      const own = row.consent_mask ?? 0;
      const rules = {
        basis: basisOfRow(row),
        regime: row.regime ?? "opt_in",
        now: now(),
        grantLifetimeMs: site.grantLifetimeMs,
      };
      // What joins two ids needs a yes, or no word, of both.
      let mask = own;
      for (const visitor of visitorsOfRow(row)) {
        mask = narrowByRecord(mask, ledger.latest(visitor), rules);
        const times = ledger.timesOf(visitor);
        // A later yes does not bring back what a no has taken away.
        if (times !== undefined && !isBinding(rules.basis)) mask &= ~refusedAfter(times, receivedAtOf(row));
      }
      if (row.type === "consent") {
        // One that takes a profile back needs its id until that has been carried out; any other has it under a yes that holds.
        const mayIdentify = hasPurpose(mask, "profile") || (!isRecorded && takesProfileBack(row));
        if (mayIdentify || !isNamed(row)) return { ok: true, record, choices: [] };
        // What was chosen is kept whatever it was, and the id of the choice with it.
        const consentId = row.consent_id;
        const nameless = narrowed(record, row, mask, consentId === undefined ? {} : { consent_id: consentId });
        return { ok: true, record: nameless, choices: [] };
      }
      if (mask === own) return { ok: true, record, choices: [] };
      const needsProfile = row.type === "identify" || row.type === "alias" || row.type === "group";
      if (!hasPurpose(mask, "profile") && (needsProfile || !hasPurpose(mask, "measurement")))
        return stop("not_allowed", "consent_withdrawn");
      return { ok: true, record: narrowed(record, row, mask), choices: [] };
    },
  };
}

const stop = (why: (ReplayVerdict & { ok: false })["why"], reason: string): ReplayVerdict => ({
  ok: false,
  why,
  reason,
});

/** As the log has it: columns that hold their default are left out. */
type StoredRow = Pick<EventRow, "site" | "type"> & Partial<EventRow>;

const keyBases = ["contract", "consent_elsewhere", "legitimate_interest", "legal_obligation"] as const;

/** The ground of the key that it came with, when it did not rest on a choice. */
function basisOfRow({ basis }: StoredRow): SiteKey["basis"] {
  const found = keyBases.find((known) => known === basis);
  return found && { basis: found, purposes: [], reason: "" };
}

/** A contract and the law do not ask whether the visitor agrees. */
const isBinding = (basis: SiteKey["basis"]): boolean =>
  basis?.basis === "contract" || basis?.basis === "legal_obligation";

/** What cannot be read came before everything. */
const receivedAtOf = ({ received_at: text = "" }: StoredRow): number => Date.parse(`${text.replace(" ", "T")}Z`) || 0;

/** Everyone whose recorded choices a row is judged by: who it is of, and who an alias says that was before. */
function visitorsOfRow({ site, type, ...row }: StoredRow): string[] {
  const { anonymous_id: device = "", user_id: user = "", previous_id: previous = "" } = row;
  const own = visitorKey(site, device, device === "" ? user : "");
  return type === "alias" && previous !== ""
    ? [own, visitorKey(site, previous, ""), visitorKey(site, "", previous)]
    : [own];
}

const isNamed = ({ anonymous_id: device = "", user_id: user = "" }: StoredRow): boolean => device !== "" || user !== "";

/** As the collector tells it of the choice itself: where nobody was asked, a no is not the first that was said. */
function takesProfileBack(row: StoredRow): boolean {
  const state = row["choice.state"]?.[row["choice.purpose"]?.indexOf("profile") ?? -1];
  return state === "withdrawn" || (row.regime !== "opt_in" && (state === "denied" || state === "opted_out"));
}

/** Both allowed it: what is left is what both allowed. Times are those of `then`. */
function stricter(today: EventRow, then: EventRow): EventRow {
  const mask = today.consent_mask & then.consent_mask;
  const row = hasPurpose(then.consent_mask, "profile") ? today : then;
  const { received_at, time, client_time, day } = then;
  return { ...withoutTraits(row, mask), consent_mask: mask, received_at, time, client_time, day };
}

function withoutTraits<Row extends Partial<EventRow>>(row: Row, mask: number): Row {
  const purposes = row["traits.purpose"] ?? [];
  const keeps = (_: unknown, i: number): boolean => hasPurpose(mask, purposes[i] as Purpose);
  const names = ["traits.name", "traits.value", "traits.class", "traits.purpose", "traits.personal"] as const;
  const lists = names.flatMap((name) => {
    const list = row[name];
    return list === undefined ? [] : [[name, list.filter(keeps)]];
  });
  return { ...row, ...(Object.fromEntries(lists) as Partial<Row>) };
}

/** Without what a withdrawal takes from a row that is stored. */
function narrowed(record: LogRecord, row: StoredRow, mask: number, kept: Partial<EventRow> = {}): LogRecord {
  const left: Partial<EventRow> = { ...withoutTraits(row, mask), consent_mask: mask };
  if (!hasPurpose(mask, "ads")) for (const column of adColumns) delete left[column];
  let { key, headers } = record;
  if (!hasPurpose(mask, "profile")) {
    for (const column of namingColumns) delete left[column];
    Object.assign(left, kept);
    key = headers.id;
    headers = { ...headers, anonymousId: "", userId: "" };
  }
  return { key, value: Buffer.from(JSON.stringify(left)), headers };
}

const adColumns = ["click_id_kind", "click_id"] as const;
const namingColumns = [
  "anonymous_id",
  "user_id",
  "previous_id",
  "group_id",
  "session_id",
  "session_start",
  "session_seq",
  "consent_id",
  "ip",
  "click_id_kind",
  "click_id",
  "traits.name",
  "traits.value",
  "traits.class",
  "traits.purpose",
  "traits.personal",
] as const;

/** A browser that nobody knows is no bot for that. */
function forgetBrowser(row: EventRow): void {
  row.device = "";
  row.browser = "";
  row.os = "";
  row.bot = "";
  row.bot_score = 0;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
