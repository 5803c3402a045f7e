import type { ConsentQueries } from "@polder/clickhouse";
import { noticeHash, verifyChain } from "@polder/core";
import { exitCode, UsageError } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";

interface Verification {
  queries: Pick<ConsentQueries, "chainSites" | "chain" | "filedTexts" | "countUnrecorded">;
  terminal: Terminal;
  site: string | undefined;
  /** Hashes noted earlier, by number. */
  noted: ReadonlyMap<number, string>;
}

/** Says of each chain whether it is whole. Resolves with the exit code. */
export async function verify({ queries, terminal, site, noted }: Verification): Promise<number> {
  const { colours, out } = terminal;
  const sites = site === undefined ? await queries.chainSites() : [site];
  let isWhole = true;
  for (const each of sites) {
    const result = await verifyChain(queries.chain(each), noted);
    if (result.ok) {
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
  for (const { site: of, hash, purpose, language, title, text } of await queries.filedTexts(site)) {
    if (noticeHash(purpose, language, { title, text }) === hash) continue;
    isWhole = false;
    out(
      `${colours.red("✗")} ${of}: the text on file for ${purpose} in ${language} is not the one of its hash ${hash}.`,
    );
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
