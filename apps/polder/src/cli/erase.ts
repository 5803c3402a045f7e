import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { ErasureReceipt, ErasureSummary } from "@polder/core";
import { readSettings, settingFlags } from "../settings.ts";
import { apiFlags, apiUrl, askApi } from "./ask-api.ts";
import { readFlags, type Command, type CommandContext } from "./command.ts";
import { CommandError, exitCode, messageOf, UsageError } from "./exit-code.ts";

const help = `Erases people: nobody finds them from the moment this ends, and soon afterwards their rows are gone from every table. What is sent again of before is
refused; whoever comes back is somebody new. It cannot be undone.

Usage: polder erase <id…> --actor <who> --reason <why> [options]
       polder erase --file <path> --actor <who> --reason <why> [options]
       polder erase --receipt <erasure>
       polder erase --list

  --file <path>        Ids, one a line; lines that begin with # are left out. - reads what is piped in.
  --actor <who>        Who asks for it. Kept in the receipt.
  --reason <why>       Why. Kept in the receipt: name nobody.
  --by <what>          What the ids are: user, anonymous or person. Default: user or anonymous.
  --site <id>          Default: the first site.
  --traits <a,b>       Only these traits go, as they are spelled in the profile; the person stays.
  --class <class>      Only traits of this class go: identity is e-mail, telephone and numbers of customers. Names and streets are descriptive.
  --keep <a,b>         With --traits or --class: of these nothing goes, as newsletter,email.
  --receipt <erasure>  Shows what an erasure removed: rows by table, before and after.
  --list               Shows all erasures, the newest first.
  --api <url>          Default: http://127.0.0.1:8082 (POLDER_API_URL, or POLDER_API_PORT).

Environment: POLDER_ADMIN_TOKEN, where the API asks for it.
Exit code: 0 when everybody was found, 1 when not.`;

const flags = {
  ...settingFlags,
  ...apiFlags,
  file: { type: "string" },
  actor: { type: "string" },
  reason: { type: "string" },
  by: { type: "string" },
  site: { type: "string" },
  traits: { type: "string" },
  class: { type: "string" },
  keep: { type: "string" },
  receipt: { type: "string" },
  list: { type: "boolean" },
} as const;

/** As many as the API takes at once. */
const maxAtOnce = 1_000;
const maxIds = 10_000_000;

interface Requested {
  erasures: { id: string; erasure: string; person: number; kind: string; identities: number; traits: string[] }[];
  notFound: string[];
}

export const eraseCommand: Command = {
  name: "erase",
  summary: "Erase people, or traits of them",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(args, flags, { positionals: maxIds });
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    const url = apiUrl(settings, values.api, context.env);
    const { terminal } = context;
    if (values.list) {
      const answer = await askApi(url, "/v1/erasures", settings);
      for (const line of renderList(((await answer.json()) as { erasures: ErasureSummary[] }).erasures))
        terminal.out(line);
      return exitCode.done;
    }
    if (values.receipt !== undefined) {
      const answer = await askApi(url, `/v1/erasures/${encodeURIComponent(values.receipt)}`, settings);
      const receipt = (await answer.json()) as ErasureReceipt;
      for (const line of renderReceipt(receipt)) terminal.out(line);
      return receipt.state === "done" ? exitCode.done : exitCode.failed;
    }
    const { actor, reason, by, site, file } = values;
    const ids = [...positionals, ...(file === undefined ? [] : await idsIn(file, context))];
    if (ids.length === 0) throw new UsageError("Say who: give ids, or a --file of them.");
    if (actor === undefined || reason === undefined)
      throw new UsageError("Say who asks for it and why, with --actor and --reason: the receipt keeps both.");
    const part = {
      ...(values.traits !== undefined && { traits: listOf(values.traits) }),
      ...(values.class !== undefined && { class: values.class }),
      ...(values.keep !== undefined && { keep: listOf(values.keep) }),
    };
    const order = { ...(site !== undefined && { site }), ...(by !== undefined && { by }), actor, reason, ...part };
    const missing: string[] = [];
    let identities = 0;
    let erased = 0;
    for (let at = 0; at < ids.length; at += maxAtOnce) {
      const answer = await askApi(url, "/v1/erasures", settings, { ...order, people: ids.slice(at, at + maxAtOnce) });
      const { erasures, notFound } = (await answer.json()) as Requested;
      for (const { id, erasure, identities: own, kind, traits } of erasures) {
        const what = kind === "person" ? counted(own) : `traits ${traits.join(", ") || "(none)"}`;
        terminal.out(`${id}  ${erasure}  ${what}`);
        identities += own;
      }
      erased += erasures.length;
      missing.push(...notFound);
    }
    const isPart = values.traits !== undefined || values.class !== undefined;
    const becomes = isPart
      ? "The traits go in about a minute, until then profiles and exports have them; the people stay"
      : "Nobody finds them any more; their rows go in about a minute, those of audiences two minutes later";
    if (erased > 0)
      terminal.out(
        `${erased} asked for, ${counted(identities)}. ${becomes}: \`npx polder erase --receipt <erasure>\` shows it.`,
      );
    for (const id of missing)
      terminal.err(
        `Nobody has the id ${id}.${by === undefined && /^[1-9]\d*$/.test(id) ? " If it is the number of a person, say --by person." : ""}`,
      );
    return missing.length === 0 ? exitCode.done : exitCode.failed;
  },
};

const listOf = (text: string): string[] =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

async function idsIn(path: string, { cwd, terminal }: CommandContext): Promise<string[]> {
  const read = path === "-" ? terminal.readInput() : readFile(resolve(cwd, path), "utf8");
  const text = await read.catch((error: unknown) => {
    throw new CommandError(`The ids in ${path} cannot be read: ${messageOf(error)}`);
  });
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

const counted = (identities: number): string => `${identities} ${identities === 1 ? "identity" : "identities"}`;

const dateText = (time: number): string => new Date(time).toISOString().slice(0, 16).replace("T", " ");

/** One line an erasure. */
function renderList(erasures: readonly ErasureSummary[]): string[] {
  if (erasures.length === 0) return ["Nobody was erased yet."];
  return erasures.map(({ id, site, kind, state, requestedAt, identities, actor, reason }) =>
    [id, site, dateText(requestedAt), kind, state, counted(identities), `${actor}: ${reason}`].join("  "),
  );
}

/** What was there and what is left, by table. */
function renderReceipt(receipt: ErasureReceipt): string[] {
  const { id, site, kind, state, requestedAt, actor, reason, identities, traits, rounds } = receipt;
  const words = {
    requested: "requested: not removed yet",
    begun: "begun: being removed",
    done: "done: nothing is left",
  }[state];
  const lines = [
    `Erasure ${id} on ${site}: ${kind === "person" ? counted(identities) : `traits ${traits.join(", ")}`}`,
    `Asked for on ${dateText(requestedAt)} UTC by ${actor}: ${reason}`,
    `State: ${words}`,
  ];
  for (const { round, at, tables } of rounds) {
    if (round > 1) lines.push(`Round ${round}, for what came to light later`);
    lines.push(`As of ${dateText(at)} UTC:`);
    for (const { table, rows, remaining } of tables)
      if (rows > 0 || remaining > 0)
        lines.push(`  ${table.padEnd(24)} ${String(rows).padStart(8)} rows, ${remaining} left`);
    if (tables.every(({ rows, remaining }) => rows + remaining === 0)) lines.push("  no rows");
  }
  return lines;
}
