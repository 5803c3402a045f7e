import type { ConsentQueries, EventConsent, FiledText, ReadQueries } from "@polder/clickhouse";
import { hashOf, type ConsentLogRow } from "@polder/core";
import type { ConsentState } from "@polder/protocol";
import { CommandError, exitCode } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";

type Queries = Omit<ConsentQueries, "countUnrecorded" | "knownSites"> & Pick<ReadQueries, "findPerson">;

interface Question {
  queries: Queries;
  terminal: Terminal;
  id: string;
  site: string | undefined;
}

/** Prints what was agreed to for an event, or all choices of a person. Resolves with the exit code. */
export async function prove(question: Question): Promise<number> {
  const { queries, terminal, id, site } = question;
  const events = await queries.eventConsents(id, site);
  const [event] = events;
  if (event !== undefined) {
    assertOneSite(new Set(events.map((each) => each.site)), id);
    return proveEvent(queries, terminal, event);
  }
  const people: { site: string; person: number }[] = [];
  for (const each of site === undefined ? await queries.chainSites() : [site]) {
    const person = await queries.findPerson(each, { by: "any", value: id });
    if (person !== undefined) people.push({ site: each, person });
  }
  assertOneSite(new Set(people.map((each) => each.site)), id);
  const [found] = people;
  if (found === undefined)
    throw new CommandError(
      `No event and no person has the id ${id}${site === undefined ? "" : ` at the site ${site}`}.`,
    );
  return provePerson(queries, terminal, found);
}

async function proveEvent(queries: Queries, terminal: Terminal, event: EventConsent): Promise<number> {
  const { out } = terminal;
  const { site, messageId, type, name, time, consentId, basis, purposes, regime } = event;
  out(`Event ${messageId} of ${site}: ${type === name ? type : `${type} “${name}”`} at ${time} UTC`);
  out(`Stored for ${purposes.join(", ") || "nothing but the record"}; basis ${basis || "none"}, regime ${regime}.`);
  if (consentId === "") {
    out();
    out(
      basis === "consent" && type !== "consent"
        ? "It carries no id of a choice, on purpose: it was allowed for measurement alone, and the id would tell visitors apart."
        : "It rests on no choice of a visitor.",
    );
    return exitCode.failed;
  }
  const isChoice = type === "consent";
  const stated = isChoice
    ? await queries.linksOfMessage(site, messageId)
    : await queries.linksOfChoice(site, consentId);
  if (stated.length === 0) {
    out();
    out(
      `The choice ${consentId} is not on record${isChoice ? " yet: the worker adds it." : ": its own event did not arrive, or waits for the worker."}`,
    );
    return exitCode.failed;
  }
  // The id is what the sender says: it may be that of somebody else's choice, or of one that allows less.
  const atoms = isChoice ? undefined : await atomsLike(queries, event);
  const links = stated.filter(({ atom }) => atoms === undefined || atoms.has(atom));
  if (links.length === 0) {
    out();
    out(`The choice ${consentId} is on record, but not as made by the visitor of this event: it does not prove it.`);
    return exitCode.failed;
  }
  const texts = await textsOf(queries, site);
  for (const link of links) printLink(terminal, link, texts);
  const refused = links.map((link) => purposes.filter((purpose) => !allows(link, purpose, regime)));
  if (isChoice || refused.some((each) => each.length === 0)) return exitCode.done;
  out();
  out(terminal.colours.red(`This choice does not allow ${refused[0]!.join(", ")}, for which the event is stored.`));
  return exitCode.failed;
}

/** Every atom of the person that the event is of. */
async function atomsLike({ findPerson, atomsOf }: Queries, { site, atom }: EventConsent): Promise<ReadonlySet<number>> {
  if (atom === 0) return new Set();
  const person = await findPerson(site, { by: "person", value: atom });
  return new Set([atom, ...(person === undefined ? [] : await atomsOf(person))]);
}

/** Where visitors are asked first a purpose has to be granted, elsewhere it must not be refused. */
function allows(link: ConsentLogRow, purpose: string, regime: string): boolean {
  if (purpose === "necessary") return true;
  const state = link["choice.state"][link["choice.purpose"].indexOf(purpose)] as ConsentState | undefined;
  if (regime !== "opt_out" && regime !== "notice") return state === "granted";
  return state !== "denied" && state !== "withdrawn" && state !== "opted_out";
}

async function provePerson(
  queries: Queries,
  terminal: Terminal,
  { site, person }: { site: string; person: number },
): Promise<number> {
  const { out } = terminal;
  const links = await queries.linksOfAtoms(site, await queries.atomsOf(person));
  out(`Person ${person} of ${site}: ${links.length} ${links.length === 1 ? "choice" : "choices"} on record`);
  if (links.length === 0) {
    out("What is kept of this person rests on no recorded choice; a refusal leaves no identity.");
    return exitCode.failed;
  }
  const texts = await textsOf(queries, site);
  for (const link of links) printLink(terminal, link, texts);
  return exitCode.done;
}

const textsOf = async (queries: Queries, site: string): Promise<ReadonlyMap<string, FiledText>> =>
  new Map((await queries.filedTexts(site)).map((text) => [text.hash, text]));

function printLink({ out, colours }: Terminal, link: ConsentLogRow, texts: ReadonlyMap<string, FiledText>): void {
  const hashes = new Map(link["text.purpose"].map((purpose, i) => [purpose, link["text.hash"][i] ?? ""]));
  out();
  out(colours.bold(`Choice ${link.consent_id}, made ${link.at} UTC, received ${link.received_at} UTC`));
  const shown = [
    link.language === "" ? "" : `language ${link.language}`,
    link.variant === "" ? "" : `variant ${link.variant}`,
    link.notice_version === "" ? "" : `notice ${link.notice_version}`,
    link.notice_hash === "" ? "" : `notice hash ${link.notice_hash}`,
    `regime ${link.regime}`,
    link.country === "" ? "" : `country ${link.country}`,
    link.gpc === 1 ? "Global Privacy Control on" : "",
  ].filter((part) => part !== "");
  out(`  ${shown.join(", ")}`);
  printFirstLayer(out, link, texts.get(link.notice_hash));
  for (const [i, purpose] of link["choice.purpose"].entries()) {
    out(`  ${purpose}: ${colours.bold(link["choice.state"][i] ?? "")}`);
    const hash = hashes.get(purpose);
    if (hash === undefined) {
      out("    Which text was shown for it was not stated.");
      continue;
    }
    const text = texts.get(hash);
    if (text === undefined)
      out(`    Its text: one with the hash ${hash}, which was never in this site's configuration.`);
    else {
      out(`    Its text (${text.language}, on file since ${text.firstSeen} UTC, ${hash}):`);
      for (const line of [text.title, ...text.text.split("\n")]) out(`      ${line}`);
    }
  }
  if (link.properties !== "{}") out(`  Said besides: ${link.properties}`);
  out(`  Link ${link.n} of the chain of ${link.site}: ${link.hash}`);
  out(`  after ${link.previous_hash === "" ? "none, it is the first" : link.previous_hash}`);
  if (hashOf(link) !== link.hash)
    out(colours.red("  Its content and its hash do not agree: run polder consent verify."));
}

/** What was said first; the texts of the purposes are on the layer behind it. */
function printFirstLayer(out: Terminal["out"], { language }: ConsentLogRow, filed: FiledText | undefined): void {
  if (filed?.purpose !== "") return;
  const [, notice] = JSON.parse(filed.text) as [string, { [language: string]: { title: string; text: string } }];
  const said = notice[language];
  if (said === undefined) return;
  out(`  Said first (${language}, on file since ${filed.firstSeen} UTC):`);
  for (const line of [said.title, ...said.text.split("\n")]) out(`    ${line}`);
}

function assertOneSite(sites: ReadonlySet<string>, id: string): void {
  if (sites.size > 1) throw new CommandError(`${id} is known at ${[...sites].join(" and ")}: say which with --site.`);
}
