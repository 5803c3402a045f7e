import type { PolderConfig, SiteConfig } from "@polder/core";
import { findConfigFile, readConfigFile } from "../config-file.ts";
import { readSettings } from "../settings.ts";
import { collectorAdvice, collectorFault, proposedCollector, withoutSlash, withScheme } from "./collector-address.ts";
import { readFlags, type Command } from "./command.ts";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import { bannerTags, scriptTag } from "./page-tags.ts";

const help = `Prints what to paste into the head of every page, exactly as the configuration says: the tag of the script, and of the banner with its texts.

Usage: polder tag [options]

  --site <id>          Needed when there is more than one.
  --collector <url>    Where browsers reach the collector. Default: https://data.<host of the origin>,
                       or http://localhost:8081 when the origin is not https or is on this machine.
  --config <path>      Default: polder.config.json here, else the demo's.

The tag says what of sites[].consent differs from the defaults of the script: beforeChoice, grantDays, refusalDays, regimes; and cookieDomain. The banner shows
consent.notice first and consent.purposes on its second layer; without a notice there is none, for a banner of your own. Each text has its hash with
it, the notice a version that changes with any of them. Print it again after a change of the configuration.

The tags go to standard output, what to know about them to standard error.`;

export const tagCommand: Command = {
  name: "tag",
  summary: "Print the tags for your pages, as the configuration says",
  help,
  async run(args, { terminal, env, cwd, now }) {
    const { values } = readFlags(args, {
      site: { type: "string" },
      collector: { type: "string" },
      config: { type: "string" },
    });
    const settings = readSettings({ flags: values, env, cwd });
    const path = findConfigFile(settings, cwd);
    if (path === undefined)
      throw new CommandError(
        "There is no polder.config.json here. Make one with `npx polder init`, or name it with --config.",
      );
    const site = pickSite(readConfigFile(path), values.site, path);
    const collector = withoutSlash(withScheme(values.collector ?? "")) || proposedCollector(site.origins);
    const fault = collectorFault(collector, site.origins);
    if (fault !== undefined) throw new UsageError(`--collector ${fault}`);

    const { out, err } = terminal;
    out(scriptTag(site, keyOf(site, now().getTime()), collector));
    const banner = bannerTags(site, collector);
    if (banner !== undefined) out(banner);
    for (const line of remarks(site, collector)) err(line);
    return exitCode.done;
  },
};

function pickSite({ sites }: PolderConfig, id: string | undefined, path: string): SiteConfig {
  const ids = sites.map((site) => site.id).join(", ");
  if (id === undefined && sites.length > 1) throw new UsageError(`Say of which site, with --site: ${ids}.`);
  const site = sites.find((each) => id === undefined || each.id === id);
  if (site === undefined) throw new CommandError(`There is no site ${id} in ${path}: use one of ${ids}.`);
  return site;
}

/** The first key that counts now. One with a basis of its own is for clients behind another banner. */
function keyOf({ id, writeKeys }: SiteConfig, now: number): string {
  const current = writeKeys.filter(
    ({ notBefore, notAfter }) =>
      (notBefore === undefined || Date.parse(notBefore) <= now) &&
      (notAfter === undefined || Date.parse(notAfter) > now),
  );
  const found = current.find(({ basis }) => basis === undefined) ?? current[0];
  if (found === undefined)
    throw new CommandError(`No write key of ${id} counts now. Make one with \`npx polder key add write\`.`);
  return found.key;
}

function* remarks(site: SiteConfig, collector: string): Generator<string> {
  const { origins, cookieDomain, consent } = site;
  const advice = collectorAdvice(collector, origins);
  if (advice !== undefined) yield advice;
  if (consent.beforeChoice.mode !== "silent")
    yield `Before a choice: ${consent.beforeChoice.mode}. Your reason: ${consent.beforeChoice.reason}`;
  if (Object.keys(consent.notice).length === 0)
    yield "No banner is printed: sites[].consent.notice has no texts. Add them, or let a banner of your own call polder.consent.set.";
  const others = cookieDomain === undefined ? [] : origins.filter((origin) => !isWithin(origin, cookieDomain));
  if (others.length > 0) yield `On ${others.join(", ")} leave data-cookie-domain out: the domain is another.`;
}

function isWithin(origin: string, domain: string): boolean {
  if (origin === "*") return true;
  const { hostname } = new URL(origin);
  return hostname === domain || hostname.endsWith(`.${domain}`);
}
