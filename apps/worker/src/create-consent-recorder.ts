import {
  chainChoices,
  consentSettingOf,
  type ChainHead,
  type ConsentLogRow,
  type ConsentRecordStore,
  type Site,
  type StoredChoice,
} from "@polder/core";

export interface ConsentRecorderOptions {
  store: ConsentRecordStore;
  now: () => Date;
  /** Of the configuration, asked on every tick: the same list as long as it is the same. Absent: texts and settings are not put on file. */
  sites?: () => readonly Site[];
  /** Choices that are chained at a time. */
  maxChoices?: number;
  /** How often choices of any age are looked for, those that were loaded days after they had been made. In milliseconds. */
  fullLookEveryMs?: number;
}

export interface ConsentRecorder {
  /** Chains the consent events that are in no chain yet. Returns how many. When it fails, nothing is lost: the next tick goes on. */
  tick(): Promise<number>;
}

const dayMs = 24 * 3_600_000;
const lossIsCertainAfterMs = 600_000;
const daysOfARecentLook = 2;

/**
 * Appends to `consent_log` what is new in `events`. The order of a chain, `n`, is the order of writing: within a look by
 * (received_at, _partition, _offset), and what is loaded later comes later. Everything is read back from the store each time, so that it may be
 * stopped anywhere, and two of them at once do no harm.
 */
export function createConsentRecorder(options: ConsentRecorderOptions): ConsentRecorder {
  const { store, now, sites, maxChoices = 5_000, fullLookEveryMs = 3_600_000 } = options;
  let lastFullLook = -Infinity;
  let saved: ReturnType<NonNullable<typeof sites>> | undefined;
  const losses = new Map<string, Loss>();

  const saveConfiguration = async (): Promise<void> => {
    const current = sites?.();
    if (current === undefined || current === saved) return;
    for (const site of current) {
      await store.saveNotices(site.id, site.notices, now());
      await store.saveSetting(site.id, consentSettingOf(site), now());
    }
    saved = current;
  };

  /**
   * The store keeps out a second link with the same number, so one that it took before and that is not there was removed by somebody. A replica that
   * lags looks the same for a moment; only a loss that lasts is gone over, or what came since would never be on record.
   */
  const append = async (site: string, links: readonly ConsentLogRow[], head: ChainHead | undefined): Promise<void> => {
    const first = (head?.n ?? 0) + 1;
    const loss = losses.get(site);
    if (loss !== undefined && loss.n === first && now().getTime() - loss.since >= lossIsCertainAfterMs) {
      loss.generation += 1;
      loss.since = now().getTime();
    }
    await store.appendLinks(site, links, loss?.generation ?? 0);
    const reached = (await store.chainHeads([site])).get(site)?.n ?? 0;
    if (reached >= first) return;
    if (loss?.n !== first) losses.set(site, { n: first, since: now().getTime(), generation: loss?.generation ?? 0 });
    throw new Error(
      `the record of ${site} had a link ${first} and does not have it any more: run polder consent verify`,
    );
  };

  const appendSome = async (sinceDay: string | undefined): Promise<{ found: number; isLast: boolean }> => {
    const seen = await store.unrecordedChoices(sinceDay, maxChoices);
    if (seen.length === 0) return { found: 0, isLast: true };
    // The heads first: a choice that another worker chained after this is found missing here and refused by its number there, never chained twice.
    const ids = new Set(seen.map(({ site }) => site));
    const heads = await store.chainHeads([...ids]);
    const choices = (await store.unrecordedChoices(sinceDay, maxChoices)).filter(({ site }) => ids.has(site));
    const outcomes = await Promise.allSettled(
      [...bySite(choices)].map(([site, ofSite]) => {
        const head = heads.get(site);
        return append(site, chainChoices(ofSite, head), head);
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return { found: choices.length, isLast: seen.length < maxChoices };
  };

  return {
    async tick() {
      // A text is on file before the first choice that names it.
      await saveConfiguration();
      const startedAt = now().getTime();
      const isFull = startedAt - lastFullLook >= fullLookEveryMs;
      const sinceDay = isFull
        ? undefined
        : new Date(startedAt - daysOfARecentLook * dayMs).toISOString().slice(0, "2026-11-22".length);
      let recorded = 0;
      for (;;) {
        const { found, isLast } = await appendSome(sinceDay);
        recorded += found;
        if (isLast) break;
      }
      if (isFull) lastFullLook = startedAt;
      return recorded;
    },
  };
}

/** A link that was taken and is gone. */
interface Loss {
  n: number;
  /** Milliseconds since 1970. */
  since: number;
  generation: number;
}

function bySite(choices: readonly StoredChoice[]): Map<string, StoredChoice[]> {
  const sites = new Map<string, StoredChoice[]>();
  for (const choice of choices) {
    const ofSite = sites.get(choice.site);
    if (ofSite === undefined) sites.set(choice.site, [choice]);
    else ofSite.push(choice);
  }
  return sites;
}
