import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@polder/core";
import { carryOverChoices, createLmdbLog, refusalsSince } from "@polder/lmdb";
import { CommandError, messageOf } from "../cli/exit-code.ts";
import { syncFolder } from "./copy-folder.ts";
import { withdrawalRecords } from "./withdrawal-records.ts";

/** In a backup, beside `consent`: the consent ledger from before the log was copied. What the later one has more may be of events that the log lacks. */
export const ledgerAtStart = "consent-at-start";

export interface BringRefusalsOptions {
  /** Another data folder, whose choices count as well; undefined when there is none. */
  choicesFrom: string | undefined;
  /** Of a site, undefined when it is not configured any more. */
  timezoneOf: (site: string) => string | undefined;
  /** Whether events are read from the log in the folder. Kafka has the refusals itself, as the events that they came with. */
  hasOwnLog: boolean;
  now: () => Date;
  logger: Logger;
}

export interface BroughtRefusals {
  /** Visitors of whom the other folder knew more. */
  chosen: number;
  /** Visitors who refuse something since the log was copied: so many events were put into it. */
  refusals: number;
}

/**
 * In a data folder as a backup has it: what visitors refuse by a choice that the log may not hold is put into the log, so that it gets on record and
 * the worker removes what is stored against it.
 * @throws {CommandError} when a ledger or the log cannot be used.
 */
export async function bringRefusals(dataPath: string, options: BringRefusalsOptions): Promise<BroughtRefusals> {
  const { choicesFrom, timezoneOf, hasOwnLog, now, logger } = options;
  const [ledger, atStart, logPath] = ["consent", ledgerAtStart, "log"].map((name) => join(dataPath, name)) as [
    string,
    string,
    string,
  ];
  let chosen = 0;
  if (choicesFrom !== undefined) {
    chosen = await carryOverChoices(join(choicesFrom, "consent"), ledger).catch((error: unknown) => {
      throw new CommandError(
        `What visitors chose since cannot be brought over from ${choicesFrom}: ${messageOf(error)} Nothing was restored: name another copy of that folder, or restore without.`,
      );
    });
  }
  let refusals = 0;
  if (hasOwnLog && existsSync(join(ledger, "data.mdb"))) {
    const log = createLmdbLog({ path: logPath, logger });
    try {
      for await (const some of refusalsSince(atStart, ledger)) {
        await log.append("polder.events", withdrawalRecords(some, now(), timezoneOf));
        refusals += some.length;
      }
    } finally {
      await log.close();
    }
    await syncFolder(logPath);
  }
  await rm(atStart, { recursive: true, force: true });
  if (existsSync(ledger)) await syncFolder(ledger);
  return { chosen, refusals };
}
