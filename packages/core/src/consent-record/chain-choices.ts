import { hashOf, type ConsentLogRow } from "./consent-log-row.ts";

/** A consent event as it stands in `events`. */
export interface StoredChoice extends Pick<
  ConsentLogRow,
  | "site"
  | "message_id"
  | "_partition"
  | "_offset"
  | "at"
  | "received_at"
  | "atom"
  | "consent_id"
  | "choice.purpose"
  | "choice.state"
  | "regime"
  | "country"
  | "properties"
> {
  /** JSON of what was shown, as the pipeline writes it; empty when the event said nothing. */
  notice: string;
}

/** The last link of a chain. */
export interface ChainHead {
  n: number;
  hash: string;
}

const beginning: ChainHead = { n: 0, hash: "" };

/** Rows of `consent_log` for choices of one site, in the given order, after the last link there is. */
export function chainChoices(choices: readonly StoredChoice[], head: ChainHead = beginning): ConsentLogRow[] {
  let { n, hash } = head;
  return choices.map(({ notice, ...choice }) => {
    const row = { ...choice, ...readShown(notice), previous_hash: hash, n: (n += 1) };
    hash = hashOf(row);
    return { ...row, hash };
  });
}

type Shown = Pick<
  ConsentLogRow,
  "text.purpose" | "text.hash" | "notice_version" | "notice_hash" | "language" | "variant" | "gpc"
>;

function readShown(notice: string): Shown {
  const shown = notice === "" ? {} : (JSON.parse(notice) as { [name: string]: unknown });
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const texts = Object.entries((shown["texts"] ?? {}) as { [purpose: string]: string });
  return {
    "text.purpose": texts.map(([purpose]) => purpose),
    "text.hash": texts.map(([, hash]) => hash),
    notice_version: text(shown["version"]),
    notice_hash: text(shown["hash"]),
    language: text(shown["language"]),
    variant: text(shown["variant"]),
    gpc: shown["gpc"] === true ? 1 : 0,
  };
}
