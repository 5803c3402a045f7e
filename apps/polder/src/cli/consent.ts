import { createConsentQueries, createPersonFlagStore, createReadQueries, personConsentOf } from "@polder/clickhouse";
import { noticeTexts } from "@polder/core";
import { findConfigFile, readConfigFile } from "../config-file.ts";
import { readSettings, settingFlags, type Settings } from "../settings.ts";
import { askClickHouse } from "./ask-clickhouse.ts";
import { readFlags, type Command } from "./command.ts";
import { prove } from "./consent-proof.ts";
import { show } from "./consent-show.ts";
import { readNoted, verify } from "./consent-verify.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";

const help = `Looks into the record of choices (consent_log) of a running Polder, or of the ClickHouse server in CLICKHOUSE_URL.

Usage: polder consent verify [--site <id>] [--head <n>:<hash>]
       polder consent proof <message id, person, user id or anonymous id> [--site <id>]
       polder consent show <person, user id or anonymous id> [--site <id>]
       polder consent texts [--site <id>] [--config <path>]

verify  Walks the chain of every site, and names the first link that was changed, removed or put elsewhere. Prints the head of each chain: note
        it down where nobody who can write to ClickHouse can change it. Given back with --head, it shows later that nothing before it was
        replaced, and that the newest records were not cut off.
proof   For one event: under which choice it was collected, what was agreed to, when, and the exact text that was shown. For a person: every
        choice on record.
show    What a person may be used for now, by purpose, and why: which device decided it, and when. Restrictions and objections with who filed them.
texts   Prints the texts of the configuration with their hashes, as JSON: what a banner shows, and what it states in \`texts\` of a choice.

  --site <id>          One site. Default: all; needed when more than one knows the id.
  --head <n>:<hash>    verify: a head noted earlier; with --site. May be repeated.
  --config <path>      texts: default polder.config.json here, else the demo's.
  --sql-port <port>    Default: 8123 (POLDER_SQL_PORT).
  --host <host>        Default: 127.0.0.1 (POLDER_HOST).

Environment: CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE (polder).
Exit code: 0 when the record is whole or the proof was found, 1 when not.`;

export const consentCommand: Command = {
  name: "consent",
  summary: "Verify the record of choices, prove one",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(
      args,
      { ...settingFlags, site: { type: "string" }, head: { type: "string", multiple: true } },
      { positionals: 2 },
    );
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    const { site, head = [] } = values;
    const [action, id] = positionals;
    switch (action) {
      case "verify": {
        if (id !== undefined) throw new UsageError(`There is no place for “${id}”.`);
        if (head.length > 0 && site === undefined) throw new UsageError("--head is of one chain: say --site too.");
        const noted = readNoted(head);
        return askClickHouse(settings, context, (clickhouse) =>
          verify({ queries: createConsentQueries(clickhouse), terminal: context.terminal, site, noted }),
        );
      }
      case "proof":
        if (id === undefined) throw new UsageError("Say of which event or person: give its id.");
        if (head.length > 0) throw new UsageError("--head belongs to verify.");
        return askClickHouse(settings, context, (clickhouse) =>
          prove({
            queries: { ...createConsentQueries(clickhouse), findPerson: createReadQueries(clickhouse).findPerson },
            terminal: context.terminal,
            id,
            site,
          }),
        );
      case "show":
        if (id === undefined) throw new UsageError("Say of whom: give the id of a person.");
        if (head.length > 0) throw new UsageError("--head belongs to verify.");
        return askClickHouse(settings, context, (clickhouse) =>
          show({
            queries: { ...createConsentQueries(clickhouse), findPerson: createReadQueries(clickhouse).findPerson },
            consentOf: (of, person) => personConsentOf(clickhouse, of, person, context.now().getTime()),
            // Only read here: nothing is flagged, so nobody has to be told from nobody.
            flagsOf: createPersonFlagStore({ clickhouse, blockedAt: () => [] }).flagsOf,
            terminal: context.terminal,
            id,
            site,
          }),
        );
      case "texts":
        if (id !== undefined) throw new UsageError(`There is no place for “${id}”.`);
        if (head.length > 0) throw new UsageError("--head belongs to verify.");
        context.terminal.out(JSON.stringify(textsOf(settings, context.cwd, site), undefined, 2));
        return exitCode.done;
      default:
        throw new UsageError(
          action === undefined ? "Say verify, proof, show or texts." : `There is no “consent ${action}”.`,
        );
    }
  },
};

/** `{ site: { purpose: { language: { title, text, hash } } } }` */
function textsOf(settings: Settings, cwd: string, site: string | undefined): object {
  const path = findConfigFile(settings, cwd);
  if (path === undefined) throw new CommandError("There is no polder.config.json here. Name it with --config.");
  const sites = readConfigFile(path).sites.filter(({ id }) => site === undefined || id === site);
  if (sites.length === 0) throw new CommandError(`There is no site ${site} in ${path}.`);
  return Object.fromEntries(
    sites.map(({ id, consent }) => {
      const texts: { [purpose: string]: { [language: string]: object } } = {};
      for (const { purpose, language, title, text, hash } of noticeTexts(consent.purposes))
        (texts[purpose] ??= {})[language] = { title, text, hash };
      return [id, texts];
    }),
  );
}
