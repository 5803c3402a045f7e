import { createGapStore, createReplayStore, createStateRebuild } from "@polder/clickhouse";
import { createReplayJudge } from "@polder/collector";
import { createSiteDirectory, type LogGap } from "@polder/core";
import { findConfigFile, readConfigFile } from "../config-file.ts";
import { readSettings, settingFlags, type Settings } from "../settings.ts";
import { readFlags, type Command, type CommandContext } from "./command.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import { createReplayer, type ReplayCounts, type ReplayRange } from "./replay-events.ts";
import { openStage } from "./replay-stage.ts";

const help = `Brings events of the past into the tables, each once, however often it is run and wherever it is stopped.

Usage: polder replay --from <time> [--to <time>] [options]
       polder replay gaps
       polder replay accept-gap [--partition <number>]

Events that the log still has and the tables do not: after the tables were lost or an older copy was put back. With --from-rejected: events that
were refused, once what refused them has been mended. They are judged again by the rules of today and by what their visitors have said up to now,
and keep the time at which they came.

  --from <time>         When they were received: 2026-11-22, or 2026-11-22T20:15:00Z. A date is a day in UTC.
  --to <time>           Up to here, itself not included. Default: now.
  --site <id>           One site. Default: all.
  --from-rejected       Out of the table rejected, instead of the log.
  --reason <reason>     With --from-rejected: those that were refused for this alone.
  --key <key>           With --from-rejected: as if sent with this key, for what servers sent. Default: a page's, so that only what carries
                        consent is stored.
  --dry-run             Counts and changes nothing.

gaps         Lists records that left the log before they were loaded. Their partition stands still until somebody decides.
accept-gap   Takes the loss of those that \`gaps\` lists, writes it down, and lets loading go on after them.
  --partition <number>  Those of one partition. Default: all.

  --data <folder>       Of a stopped Polder. Default: .polder (POLDER_DATA).
  --config <path>       With the sites. Default: polder.config.json here, else the demo's.

With KAFKA_BROKERS and CLICKHOUSE_URL it works on an installation whose collectors run. Stop its loaders: this loads what is replayed and all that
comes meanwhile (--dry-run looks beside them). Otherwise stop Polder first.
Exit code: 0 when everything that was to be stored is stored, 1 when not.`;

export const replayCommand: Command = {
  name: "replay",
  summary: "Bring back events that the tables lack",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(
      args,
      {
        data: settingFlags.data,
        config: settingFlags.config,
        from: { type: "string" },
        to: { type: "string" },
        site: { type: "string" },
        reason: { type: "string" },
        key: { type: "string" },
        partition: { type: "string" },
        "from-rejected": { type: "boolean" },
        "dry-run": { type: "boolean" },
      },
      { positionals: 1 },
    );
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    const [action] = positionals;
    if (action === "gaps" || action === "accept-gap") {
      const partition = values.partition === undefined ? undefined : readPartition(values.partition);
      return decideGaps({ settings, context, partition, accepts: action === "accept-gap" });
    }
    if (action !== undefined) throw new UsageError(`There is no “replay ${action}”.`);
    if (values.partition !== undefined) throw new UsageError("--partition belongs to accept-gap.");
    if (values.from === undefined) throw new UsageError("Say from when: --from 2026-11-22.");
    const isFromRejected = values["from-rejected"] === true;
    if (!isFromRejected && (values.reason !== undefined || values.key !== undefined))
      throw new UsageError("--reason and --key belong to --from-rejected.");
    const range: ReplayRange = {
      from: readTime("--from", values.from),
      to: values.to === undefined ? context.now() : readTime("--to", values.to),
      site: values.site,
      reason: values.reason,
      isDryRun: values["dry-run"] === true,
    };
    if (range.from >= range.to) throw new UsageError("--from has to be before --to.");
    return replay({ settings, context, range, isFromRejected, keyText: values.key });
  },
};

async function replay(asked: {
  settings: Settings;
  context: CommandContext;
  range: ReplayRange;
  isFromRejected: boolean;
  keyText: string | undefined;
}): Promise<number> {
  const { settings, context, range, isFromRejected, keyText } = asked;
  const path = findConfigFile(settings, context.cwd);
  if (path === undefined) throw new CommandError("There is no polder.config.json here. Name it with --config.");
  const config = readConfigFile(path);
  const sites = createSiteDirectory(config);
  if (range.site !== undefined && sites.findSite(range.site) === undefined)
    throw new CommandError(`There is no site ${range.site} in ${path}.`);
  const key = keyText === undefined ? undefined : sites.findKey(keyText);
  if (keyText !== undefined && key === undefined)
    throw new CommandError(`Nobody in ${path} has the key of --key, or it no longer counts.`);

  const stage = await openStage(settings, context);
  try {
    const { ledger, ...pipeline } = await stage.openPipeline(config, range);
    const counts = await stage.progress.step(range.isDryRun ? "Looking" : "Replaying", (say) => {
      const judge = createReplayJudge({ sites, ledger, key, now: () => context.now().getTime() });
      const replayer = createReplayer({
        ...pipeline,
        ledger,
        judge,
        say,
        store: createReplayStore(stage.clickhouse),
        states: createStateRebuild(stage.clickhouse),
      });
      return isFromRejected ? replayer.fromRejected(range) : replayer.fromLog(range);
    });
    for (const line of describeCounts(counts, { range, isFromRejected })) context.terminal.out(line);
    if (counts.weeks.length > 0)
      context.terminal.out(
        `  Counts of profiles, visits and days are made anew, for the weeks that begin on ${counts.weeks.join(", ")}.`,
      );
    return counts.missing === 0 ? exitCode.done : exitCode.failed;
  } finally {
    await stage.close();
  }
}

function describeCounts(
  { read, stored, known, left, missing }: ReplayCounts,
  { range, isFromRejected }: { range: ReplayRange; isFromRejected: boolean },
): string[] {
  const rows: [count: number, text: string][] = [
    [read, isFromRejected ? "refused events, not replayed before" : "events in the log"],
    [stored, range.isDryRun ? "would be stored" : "stored now"],
    [known, "in the tables already"],
    ...[...left]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([label, count]): [number, string] => [count, `left out, ${inWords(label)}`]),
    ...(missing > 0
      ? [
          [missing, "appended to the log and not in the tables: see the table rejected, and run this again"] as [
            number,
            string,
          ],
        ]
      : []),
  ];
  const width = Math.max(...rows.map(([count]) => count.toLocaleString("en").length));
  return rows.map(([count, text]) => `  ${count.toLocaleString("en").padStart(width)}  ${text}`);
}

const whys: { readonly [why: string]: string } = {
  not_kept: "nothing of it was kept, since its sender had not allowed that",
  cut: "only the beginning of it was kept",
  unknown_site: "of a site that the configuration does not have, or not of the key's",
  refused: "refused again",
  not_allowed: "not allowed now",
};

function inWords(label: string): string {
  const [why = "", reason] = label.split(": ");
  return reason === undefined ? (whys[why] ?? why) : `${whys[why] ?? why} (${reason})`;
}

async function decideGaps(asked: {
  settings: Settings;
  context: CommandContext;
  partition: number | undefined;
  accepts: boolean;
}): Promise<number> {
  const { settings, context, partition, accepts } = asked;
  const stage = await openStage(settings, context);
  try {
    const gaps = createGapStore({ clickhouse: stage.clickhouse });
    const open = (await gaps.open()).filter((gap) => partition === undefined || gap.partition === partition);
    if (open.length === 0) context.terminal.out("  No records are missing that nobody has decided about.");
    for (const gap of open) {
      if (accepts) await gaps.accept(gap);
      context.terminal.out(`  ${describeGap(gap)}${accepts ? ": accepted" : ""}`);
    }
    if (accepts && open.length > 0)
      context.terminal.out(
        "  It is written down in log_gap. Loaders go on by themselves; a stopped Polder does when it starts.",
      );
    return exitCode.done;
  } finally {
    await stage.close();
  }
}

const describeGap = ({ topic, partition, from, to }: LogGap): string =>
  `${topic}, partition ${partition}: records ${from} to ${to} (${(to - from + 1).toLocaleString("en")}) left the log before they were loaded`;

function readPartition(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new UsageError("--partition is not a number. Give one that `polder replay gaps` lists.");
}

function readTime(flag: string, text: string): Date {
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const time = new Date(text);
  if (isTime && !Number.isNaN(time.getTime())) return time;
  throw new UsageError(`${flag} is not a time. Write it as 2026-11-22 or 2026-11-22T20:15:00Z.`);
}
