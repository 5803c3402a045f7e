import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { parseConfig, type ConfigResult, type SiteConfig } from "@polder/core";
import { configFileName, writeConfigFile } from "../config-file.ts";
import { hashOfKey, newServerKey, newWriteKey } from "../keys.ts";
import {
  collectorAdvice,
  collectorFault,
  proposedCollector,
  siteHostOf,
  isDomain,
  withoutSlash,
  withScheme,
} from "./collector-address.ts";
import { readFlags, type Command } from "./command.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import { basisWords, usualBasis } from "./key-basis.ts";
import { scriptTag } from "./page-tags.ts";
import type { Terminal } from "./terminal.ts";

const help = `Makes polder.config.json with fresh keys for your own site, and prints the tag to paste.

Usage: polder init [options]

  --site <id>          Short name in tables: small letters, digits, hyphens. Never changes.
  --name <text>        What people call the site.
  --origin <origin>    Where its pages are, as https://shop.example. May be given several times.
  --timezone <zone>    IANA zone of the site's days, as Europe/Amsterdam. Never changes.
  --currency <code>    ISO 4217 currency of amounts that name none. Default: EUR.
  --collector <url>    Where browsers will reach the collector. Default: https://data.<host of the origin>,
                       or http://localhost:8081 when the origin is not https or is on this machine.
  --config <path>      File to make. Default: polder.config.json here.
  --yes                Ask nothing: only --origin must be given, all else has a default.

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
        `${path} is there already, and holds keys. Change it by hand, use \`npx polder key\`, or give another file with --config.`,
      );
    }
    const given = {
      ...(values.site !== undefined && { id: values.site }),
      ...(values.name !== undefined && { name: values.name }),
      ...(values.timezone !== undefined && { timezone: values.timezone }),
      ...(values.origin !== undefined && { origins: values.origin.map(withScheme) }),
      ...(values.currency !== undefined && { currency: values.currency }),
    };
    // Before anything is asked: nobody likes to answer for nothing.
    assertUsable(given);

    const ask = asker(terminal, values.yes === true);
    const origins = given.origins ?? [
      await ask({
        question: "Origin of your pages, as https://shop.example",
        proposal: "",
        flag: "--origin",
        read: withScheme,
        check: (origin) => faultOf({ origins: [origin] }),
      }),
    ];
    const siteHost = siteHostOf(origins);
    const id =
      given.id ??
      (await ask({
        question: "Short name of the site",
        proposal: slug(siteHost || basename(cwd)),
        flag: "--site",
        check: (answer) => faultOf({ id: answer }),
      }));
    const name =
      given.name ??
      (await ask({
        question: "Name of the site",
        proposal: id,
        flag: "--name",
        check: (answer) => faultOf({ name: answer }),
      }));
    const timezone =
      given.timezone ??
      (await ask({
        question: "Time zone of its days",
        proposal: new Intl.DateTimeFormat().resolvedOptions().timeZone,
        flag: "--timezone",
        check: (answer) => faultOf({ timezone: answer }),
      }));
    const checkCollector = (address: string): string | undefined => collectorFault(address, origins);
    const collector = withoutSlash(
      withScheme(values.collector ?? "") ||
        (await ask({
          question: "Where browsers will reach the collector",
          proposal: proposedCollector(origins),
          flag: "--collector",
          read: withScheme,
          check: checkCollector,
        })),
    );
    const fault = checkCollector(collector);
    if (fault !== undefined) throw new UsageError(`Nothing was made:\n  --collector ${fault}`);

    const [writeKey, serverKey] = [newWriteKey(), newServerKey()];
    const basis = usualBasis("contract");
    const site = {
      id,
      name,
      timezone,
      origins,
      writeKeys: [{ key: writeKey, name: "pages" }],
      serverKeys: [{ hash: hashOfKey(serverKey), name: "server", basis }],
      consent: { regimes: { default: "opt_in" } },
      currency: given.currency ?? "EUR",
      // The collector has a name beside the pages': without their parent domain it may set no cookie for them.
      ...(isDomain(siteHost) && new URL(collector).hostname.endsWith(`.${siteHost}`) && { cookieDomain: siteHost }),
    };
    const config = { sites: [site] };
    const { consent } = assertUsable(site);
    await writeConfigFile(path, config);

    const { colours, out } = terminal;
    out(`Made ${path}.`);
    out();
    out(
      "Paste this into the head of every page (`npx polder tag` prints it again, with all that the configuration says by then):",
    );
    out();
    out(colours.green(`  ${scriptTag({ ...site, consent }, writeKey, collector)}`));
    out();
    const advice = collectorAdvice(collector, origins);
    if (advice !== undefined) {
      out(advice);
      out();
    }
    out("Your servers send with this key. It is stored as a hash, so this is the only time you see it:");
    out();
    out(colours.yellow(`  ${serverKey}`));
    out();
    out(`Events sent with it need no consent of their own. Their basis: ${basisWords(basis)}. ${basis.reason}`);
    out();
    out(`Until a visitor says yes, nothing of a page is stored. Next: ${colours.bold("npx polder start")}`);
    return exitCode.done;
  },
};

interface Question {
  question: string;
  proposal: string;
  flag: string;
  /** Puts an answer right before it is checked. */
  read?: (answer: string) => string;
  /** What is wrong with an answer, as the end of a sentence. */
  check: (answer: string) => string | undefined;
}

const asker =
  (terminal: Terminal, isQuiet: boolean) =>
  async ({ question, proposal, flag, read = (answer) => answer, check }: Question): Promise<string> => {
    if (!terminal.isInteractive || isQuiet) {
      if (proposal === "") throw new UsageError(`${flag} is missing.`);
      return proposal;
    }
    for (;;) {
      const answer = read(await terminal.ask(question, proposal));
      const fault = check(answer);
      if (fault === undefined) return answer;
      terminal.err(terminal.colours.yellow(`  It ${fault}`));
    }
  };

function checkSite(fields: object): ConfigResult {
  const sample = {
    id: "site",
    name: "Site",
    timezone: "UTC",
    origins: ["https://shop.example"],
    writeKeys: [{ key: "pk_12345678" }],
  };
  return parseConfig(JSON.stringify({ sites: [{ ...sample, ...fields }] }));
}

function faultOf(fields: object): string | undefined {
  const checked = checkSite(fields);
  return checked.ok ? undefined : checked.problems[0]?.message;
}

/**
 * The site as the configuration will have it.
 * @throws {UsageError} with all that is wrong, by flag.
 */
function assertUsable(fields: object): SiteConfig {
  const checked = checkSite(fields);
  if (checked.ok) return checked.config.sites[0]!;
  const reasons = checked.problems.map(({ path, message }) => `  ${flagOf(path)} ${message}`);
  throw new UsageError(`Nothing was made:\n${reasons.join("\n")}`);
}

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
