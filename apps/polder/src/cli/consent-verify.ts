import type { ConsentQueries } from "@polder/clickhouse";
import { hashOfFiled, verifyChain } from "@polder/core";
import { CommandError, exitCode, UsageError } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";

interface Verification {
  queries: Pick<ConsentQueries, "knownSites" | "chain" | "filedTexts" | "countUnrecorded">;
  terminal: Terminal;
  site: string | undefined;
  /** Hashes noted earlier, by number. */
  noted: ReadonlyMap<number, string>;
}

/** Says of each chain whether it is whole. Resolves with the exit code. Throws when nobody knows the site. */
export async function verify({ queries, terminal, site, noted }: Verification): Promise<number> {
  const { colours, out } = terminal;
  const known = await queries.knownSites();
  const sites = known.filter((each) => (site === undefined ? each.choices + each.links > 0 : each.site === site));
  if (site !== undefined && sites.length === 0) {
    const names = known.map((each) => each.site).join(", ");
    throw new CommandError(`There is no site ${site}${names === "" ? ": none is known yet" : `: known are ${names}`}.`);
  }
  let isWhole = true;
  for (const { site: each, choices } of sites) {
    const result = await verifyChain(queries.chain(each), noted);
    if (result.ok && result.links === 0 && choices > 0) {
      isWhole = false;
      const stored = `${choices} ${choices === 1 ? "choice is" : "choices are"} stored`;
      out(
        `${colours.red("✗")} ${each}: nothing is on record, and ${stored}. The worker has not recorded it yet, or the chain was removed.`,
      );
    } else if (result.ok) {
      const links = `${result.links} ${result.links === 1 ? "record" : "records"}`;
      out(
        `${colours.green("✓")} ${each}: ${links}, whole.${result.links === 0 ? "" : ` Head ${result.links}:${result.head}`}`,
      );
    } else {
      isWhole = false;
      const { kind, n, detail } = result.broken;
      out(`${colours.red("✗")} ${each}: broken at ${n} (${kind}), whole up to ${result.links}. ${detail}`);
    }
  }
  for (const filed of await queries.filedTexts(site)) {
    if (hashOfFiled(filed) === filed.hash) continue;
    isWhole = false;
    const what = filed.purpose === "" ? "notice" : `text for ${filed.purpose} in ${filed.language}`;
    out(`${colours.red("✗")} ${filed.site}: the ${what} on file is not the one of its hash ${filed.hash}.`);
  }
  if (sites.length === 0) out("Nothing is on record yet.");
  const waiting = await queries.countUnrecorded();
  if (waiting > 0) out(`${waiting} ${waiting === 1 ? "choice waits" : "choices wait"} for the worker to record them.`);
  return isWhole ? exitCode.done : exitCode.failed;
}

/** `--head 12:ab…` as a map. */
export function readNoted(heads: readonly string[]): Map<number, string> {
  return new Map(
    heads.map((head) => {
      const [, n, hash] = /^([1-9]\d{0,15}):([0-9a-f]{64})$/.exec(head) ?? [];
      if (n === undefined || hash === undefined)
        throw new UsageError(`--head is a number and a hash, as verify prints them: 12:ab…`);
      return [Number(n), hash];
    }),
  );
}
