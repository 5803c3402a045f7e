import type { ChainHead, StoredChoice } from "../consent-record/chain-choices.ts";
import type { ConsentSetting } from "../consent-record/consent-setting.ts";
import type { ConsentLogRow } from "../consent-record/consent-log-row.ts";
import type { NoticeText } from "../consent-record/notice-text.ts";

/** The part of the store that keeps the record of choices. */
export interface ConsentRecordStore {
  /** The last link of each of these sites; absent where a chain has not begun. */
  chainHeads(sites: readonly string[]): Promise<ReadonlyMap<string, ChainHead>>;
  /**
   * Consent events that are in no chain, by (received_at, _partition, _offset), at most `limit`. `sinceDay` (`2026-11-22`) looks only at what
   * was received on that day and later, which is cheap; undefined looks at all.
   */
  unrecordedChoices(sinceDay: string | undefined, limit: number): Promise<StoredChoice[]>;
  /**
   * Adds links of one site, as a whole or not at all. When the chain has a link with the first `n` by now, nothing is added: of two writers that
   * read the same head one wins, and the other has to read again. A chain that lost its newest links takes others in their place only under a
   * `generation` that it has not seen.
   */
  appendLinks(site: string, links: readonly ConsentLogRow[], generation: number): Promise<void>;
  /** Keeps texts that are not there yet. Those that are there stay as they are. */
  saveNotices(site: string, notices: readonly NoticeText[], now: Date): Promise<void>;
  /** Keeps what a site has set, unless that is what was kept last. What was kept before stays as it is. */
  saveSetting(site: string, setting: ConsentSetting, now: Date): Promise<void>;
}
