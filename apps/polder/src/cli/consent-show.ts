import type { ConsentQueries, FiledFlag, ReadQueries } from "@polder/clickhouse";
import type { ConsentReason, PurposeConsent } from "@polder/core";
import { CommandError, exitCode } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";

interface Question {
  queries: Pick<ConsentQueries, "knownSites"> & Pick<ReadQueries, "findPerson">;
  consentOf: (site: string, person: number) => Promise<PurposeConsent[]>;
  flagsOf: (site: string, person: number) => Promise<FiledFlag[]>;
  terminal: Terminal;
  id: string;
  site: string | undefined;
}

const reasons: { readonly [why in ConsentReason]: string } = {
  necessary: "always",
  granted: "a yes",
  not_refused: "not refused, where that is enough",
  basis_of_key: "on the basis of a key",
  contract_or_law: "on a contract or the law",
  restricted: "the person is restricted",
  objected: "the person objects",
  denied: "a no that no later yes overrules",
  denied_before_join: "a no; there is a later yes, from before the two were one person",
  expired: "a yes that is too old",
  no_consent: "nothing allows it",
};

/** Prints what a person may be used for and why, by purpose. Resolves with the exit code. */
export async function show({ queries, consentOf, flagsOf, terminal, id, site }: Question): Promise<number> {
  const { colours, out } = terminal;
  const sites = site === undefined ? (await queries.knownSites()).map((known) => known.site) : [site];
  const found: { site: string; person: number }[] = [];
  for (const each of sites) {
    const person = await queries.findPerson(each, { by: "any", value: id });
    if (person !== undefined) found.push({ site: each, person });
  }
  if (found.length > 1)
    throw new CommandError(`${id} is known at ${found.map((each) => each.site).join(" and ")}: say which with --site.`);
  const [one] = found;
  if (one === undefined)
    throw new CommandError(`Nobody has the id ${id}${site === undefined ? "" : ` at the site ${site}`}.`);
  out(`Person ${one.person} of ${one.site}`);
  for (const { purpose, isAllowed, why, device, at } of await consentOf(one.site, one.person)) {
    const from = device === undefined ? "" : `, by ${device}`;
    const when = at === undefined || at === 0 ? "" : ` at ${new Date(at).toISOString()}`;
    out(`${isAllowed ? colours.green("✓") : colours.red("✗")} ${purpose}: ${reasons[why]}${from}${when}`);
  }
  const flags = (await flagsOf(one.site, one.person)).filter(({ isInForce, isSet }) => isInForce && isSet);
  for (const { flag, purpose, at, actor, reason } of flags)
    out(
      `  ${flag === "restrict" ? "Restricted" : `Objection to ${purpose}`} since ${new Date(at).toISOString()}, filed by ${actor}: ${reason}`,
    );
  return exitCode.done;
}
