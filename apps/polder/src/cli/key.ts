import { parseConfig, type SiteConfig } from "@polder/core";
import { findConfigFile, readConfigFile, readConfigText, writeConfigFile } from "../config-file.ts";
import { hashOfKey, newServerKey, newWriteKey } from "../keys.ts";
import { readSettings } from "../settings.ts";
import { readFlags, type Command, type CommandContext } from "./command.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import { basisFlags, basisNames, basisWords, readBasis, type KeyBasis } from "./key-basis.ts";

const help = `Lists, adds and revokes keys. A running Polder follows within two seconds.

Usage: polder key list
       polder key add write|server [--site <id>] [--name <text>] [--basis <basis> [--purposes <list>] [--reason <text>]]
       polder key revoke <key> [--site <id>]

  list                 All keys, and on what basis each stores events without a consent of their own, if on any.
                       Write keys are public; of server keys the first digits of the hash.
  add write            A public key for pages and apps. They can only write.
  add server           A secret key for servers. Shown once, stored as a hash.
  revoke <key>         A write key, or the first 8 or more digits of a server key's hash.

  --site <id>          Needed when there are several sites.
  --name <text>        What the key is for.
  --basis <basis>      Store events without a consent object on this basis: contract, consent_elsewhere,
                       legitimate_interest or legal_obligation. Without it such events are dropped (no_consent).
                       Of a write key only where the consent of the pages is asked for and heeded elsewhere.
  --purposes <list>    What those events may be used for. Default: necessary,measurement,profile.
  --reason <text>      Why the basis holds, for whoever asks later. Default: a sentence for the basis.
  --config <path>      Default: polder.config.json here, else the demo's.
  --data <folder>      Where the demo's is. Default: .polder.

To rotate a key: add one, move your pages or servers over, revoke the old one.`;

const flags = {
  site: { type: "string" },
  name: { type: "string" },
  config: { type: "string" },
  data: { type: "string" },
  ...basisFlags,
} as const;

/** As much of the file as is changed here; the rest is kept as it stands. */
interface RawConfig {
  sites: {
    id: string;
    writeKeys: { key: string; name?: string; basis?: KeyBasis }[];
    serverKeys?: { hash: string; name: string; basis?: KeyBasis }[];
  }[];
}

const shownDigits = 12;

export const keyCommand: Command = {
  name: "key",
  summary: "List, add and revoke keys",
  help,
  async run(args, context) {
    const { values, positionals } = readFlags(args, flags, { positionals: 2 });
    const [action, what] = positionals;
    assertUsage(action, what);
    const basis = readBasis(values);
    if (basis !== undefined && action !== "add") throw new UsageError("--basis is for `key add` only.");
    const path = findConfigFile(readSettings({ flags: values, env: context.env, cwd: context.cwd }), context.cwd);
    if (path === undefined)
      throw new CommandError(
        "There is no polder.config.json here. Make one with `npx polder init`, or name it with --config.",
      );
    const { sites } = readConfigFile(path);
    if (action === "list") return list(sites, context);
    const change = async (make: (raw: RawConfig) => void): Promise<void> => {
      const raw = JSON.parse(readConfigText(path)) as RawConfig;
      make(raw);
      const checked = parseConfig(JSON.stringify(raw));
      // The rest of the file was in order before.
      if (!checked.ok)
        throw new UsageError(checked.problems.map(({ path: at, message }) => `${flagOf(at)} ${message}`).join("\n"));
      await writeConfigFile(path, raw);
    };
    const { out, colours } = context.terminal;

    if (action === "add") {
      const site = chooseSite(sites, values.site);
      const key = what === "write" ? newWriteKey() : newServerKey();
      await change((raw) => {
        const target = raw.sites.find(({ id }) => id === site.id);
        const entry = basis === undefined ? {} : { basis };
        if (what === "write")
          target?.writeKeys.push({ key, ...(values.name !== undefined && { name: values.name }), ...entry });
        else (target!.serverKeys ??= []).push({ hash: hashOfKey(key), name: values.name ?? "server", ...entry });
      });
      // Only the key goes to standard output, so that a script can take it from there.
      out(colours.bold(key));
      const { err } = context.terminal;
      if (what === "server") err("Keep it now: only its hash is stored, so it cannot be shown again.");
      err("A Polder that is running takes it within two seconds.");
      if (basis !== undefined)
        err(`Events without a consent of their own are stored: ${basisWords(basis)}. ${basis.reason}`);
      else if (what === "server") err(withoutBasis(hashOfKey(key)));
      return exitCode.done;
    }
    await change((raw) => revoke(raw, what ?? "", values.site));
    out("Revoked. What comes with it from now on is answered 401.");
    return exitCode.done;
  },
};

function assertUsage(action: string | undefined, what: string | undefined): void {
  if (action === "list" && what === undefined) return;
  if (action === "add" && (what === "write" || what === "server")) return;
  if (action === "revoke" && what !== undefined) return;
  if (action === undefined) throw new UsageError("Say what to do: list, add or revoke.");
  if (action === "add")
    throw new UsageError(
      `${what === undefined ? "The kind of key is missing" : `There is no kind of key “${what}”`}: write “key add write” for pages and apps, or “key add server” for servers.`,
    );
  if (action === "revoke") throw new UsageError("Say which key to revoke: `npx polder key list` shows them.");
  throw new UsageError(`“${[action, what].filter(Boolean).join(" ")}” is not something to do with keys.`);
}

const withoutBasis = (hash: string): string =>
  `Events sent with it need a consent of their own (context.consent); without one they are dropped (no_consent).
To store them on a basis, make another key in its place: npx polder key add server --basis contract
(or ${basisNames.filter((name) => name !== "contract").join(", ")}), and take this one back: npx polder key revoke ${hash.slice(0, shownDigits)}`;

/** The flag that filled this place of the file. */
const flagOf = (path: string): string => {
  const field = /\.(purposes|reason|name)(?:\[\d+\])?$/.exec(path)?.[1];
  return field === undefined ? path : `--${field}`;
};

function list(sites: readonly SiteConfig[], { terminal: { out, colours } }: CommandContext): number {
  const rows = sites.flatMap((site) => [
    ...site.writeKeys.map((key) => ({
      site: site.id,
      kind: "write",
      key: key.key,
      name: key.name ?? "",
      note: noteOf(key),
    })),
    ...site.serverKeys.map((key) => ({
      site: site.id,
      kind: "server",
      key: `sha256:${key.hash.slice(0, shownDigits)}…`,
      name: key.name,
      note: noteOf(key),
    })),
  ]);
  const width = (field: "site" | "kind" | "key" | "name") => Math.max(...rows.map((row) => row[field].length));
  const [site, kind, key, name] = [width("site"), width("kind"), width("key"), width("name")];
  for (const row of rows) {
    out(
      `${row.site.padEnd(site)}  ${row.kind.padEnd(kind)}  ${colours.bold(row.key.padEnd(key))}  ${row.name.padEnd(name)}  ${row.note}`.trimEnd(),
    );
  }
  return exitCode.done;
}

const noteOf = ({ basis, notBefore, notAfter }: SiteConfig["writeKeys"][number] | SiteConfig["serverKeys"][number]) =>
  [
    basis === undefined ? "by consent only" : `basis ${basisWords(basis)}`,
    notBefore && `from ${notBefore}`,
    notAfter && `until ${notAfter}`,
  ]
    .filter(Boolean)
    .join(" ");

function chooseSite(sites: readonly SiteConfig[], id: string | undefined): SiteConfig {
  const found = id === undefined && sites.length === 1 ? sites[0] : sites.find((site) => site.id === id);
  if (found !== undefined) return found;
  const ids = sites.map((site) => site.id).join(", ");
  throw new UsageError(
    id === undefined ? `Say which site with --site: ${ids}.` : `There is no site “${id}”. There is: ${ids}.`,
  );
}

function revoke(raw: RawConfig, what: string, siteId: string | undefined): void {
  const prefix = what.startsWith("sk_") ? hashOfKey(what) : what.replace(/^sha256:/, "").replace(/…$/, "");
  const isHashPrefix = /^[0-9a-f]{8,64}$/.test(prefix);
  const found = raw.sites
    .filter((site) => siteId === undefined || site.id === siteId)
    .flatMap((site) => [
      ...site.writeKeys.filter(({ key }) => key === what).map(({ key }) => ({ site, key, hash: undefined })),
      ...(site.serverKeys ?? [])
        .filter(({ hash }) => isHashPrefix && hash.startsWith(prefix))
        .map(({ hash }) => ({ site, key: undefined, hash })),
    ]);
  const [only] = found;
  if (only === undefined)
    throw new CommandError(
      "No key is like that. Run `npx polder key list`; of a server key at least 8 digits are needed.",
    );
  if (found.length > 1) throw new CommandError("Several keys begin like that. Give more digits.");
  if (only.key !== undefined && only.site.writeKeys.length === 1) {
    throw new CommandError(
      `It is the last write key of “${only.site.id}”, and a site needs one. Add another first: npx polder key add write --site ${only.site.id}`,
    );
  }
  only.site.writeKeys = only.site.writeKeys.filter(({ key }) => key !== only.key);
  if (only.site.serverKeys) only.site.serverKeys = only.site.serverKeys.filter(({ hash }) => hash !== only.hash);
}
