import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { parseConfig } from "@polder/core";
import { configFileName, writeConfigFile } from "../config-file.ts";
import { hashOfKey, newServerKey, newWriteKey } from "../keys.ts";
import { readFlags, type Command } from "./command.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";

const help = `Makes polder.config.json with fresh keys for your own site, and prints the tag to paste.

Usage: polder init [options]

  --site <id>          Short name in tables: small letters, digits, hyphens. Never changes.
  --name <text>        What people call the site.
  --origin <origin>    Where its pages are, as https://shop.example. May be given several times.
  --timezone <zone>    IANA zone of the site's days, as Europe/Amsterdam. Never changes.
  --currency <code>    ISO 4217 currency of amounts that name none. Default: EUR.
  --collector <url>    Where browsers will reach the collector. Default: http://localhost:8081.
  --config <path>      File to make. Default: polder.config.json here.
  --yes                Ask nothing: what was not given has its default.

On a terminal it asks for what was not given. It never overwrites a file.`;

const flags = {
  site: { type: "string" },
  name: { type: "string" },
  origin: { type: "string", multiple: true },
  timezone: { type: "string" },
  currency: { type: "string" },
  collector: { type: "string" },
  config: { type: "string" },
  yes: { type: "boolean" },
} as const;

export const initCommand: Command = {
  name: "init",
  summary: "Make a configuration with fresh keys for your own site",
  help,
  async run(args, { terminal, env, cwd }) {
    const { values } = readFlags(args, flags);
    const path = resolve(cwd, values.config ?? env["POLDER_CONFIG"] ?? configFileName);
    if (existsSync(path)) {
      throw new CommandError(
        `${path} is there already, and holds keys. Change it by hand, use \`polder key\`, or give another file with --config.`,
      );
    }
    const ask = asker(terminal, values.yes === true);
    const origins = values.origin ?? [await ask("Origin of your pages, as https://shop.example", "", "--origin")];
    const site =
      values.site ?? (await ask("Short name of the site", slug(hostOf(origins[0] ?? "") || basename(cwd)), "--site"));
    const name = values.name ?? (await ask("Name of the site", site, "--name"));
    const ownZone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
    const timezone = values.timezone ?? (await ask("Time zone of its days", ownZone, "--timezone"));

    const [writeKey, serverKey] = [newWriteKey(), newServerKey()];
    const config = {
      sites: [
        {
          id: site,
          name,
          timezone,
          origins,
          writeKeys: [{ key: writeKey, name: "pages" }],
          serverKeys: [{ hash: hashOfKey(serverKey), name: "server" }],
          regime: "opt_in",
          currency: values.currency ?? "EUR",
        },
      ],
    };
    const checked = parseConfig(JSON.stringify(config));
    if (!checked.ok) {
      const reasons = checked.problems.map((problem) => `  ${flagOf(problem.path)} ${problem.message}`);
      throw new UsageError(`Nothing was made:\n${reasons.join("\n")}`);
    }
    await writeConfigFile(path, config);

    const { colours, out } = terminal;
    const collector = (values.collector ?? "http://localhost:8081").replace(/\/+$/, "");
    out(`Made ${path}.`);
    out();
    out("Paste this into the head of every page:");
    out();
    out(colours.green(`  <script async src="${collector}/polder.js" data-site="${writeKey}"></script>`));
    out();
    out("Your servers send with this key. It is stored as a hash, so this is the only time you see it:");
    out();
    out(colours.yellow(`  ${serverKey}`));
    out();
    out(`Until a visitor says yes, nothing is stored. Next: ${colours.bold("polder start")}`);
    return exitCode.done;
  },
};

const asker =
  (terminal: Terminal, isQuiet: boolean) =>
  async (question: string, proposal: string, flag: string): Promise<string> => {
    if (terminal.isInteractive && !isQuiet) return terminal.ask(question, proposal);
    if (proposal === "") throw new UsageError(`${flag} is missing.`);
    return proposal;
  };

/** The flag that filled this place of the file. */
const flagOf = (path: string): string =>
  (
    { id: "--site", name: "--name", timezone: "--timezone", origins: "--origin", currency: "--currency" } as {
      [field: string]: string;
    }
  )[/^sites\[0\]\.(\w+)/.exec(path)?.[1] ?? ""] ?? path;

const slug = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 63) || "site";

const hostOf = (origin: string): string => {
  try {
    return new URL(origin).hostname.replace(/^www\./, "");
  } catch {
    return "";
  }
};
