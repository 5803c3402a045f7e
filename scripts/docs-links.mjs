// @ts-check
// Relative links in our Markdown lead to files that are there, and to headings that are in them.
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { listFiles } from "./list-files.mjs";
import { root } from "./run-command.mjs";

/** @param {string} markdown without the insides of code, where brackets mean other things */
function withoutCode(markdown) {
  return markdown
    .replaceAll(/^(```+|~~~+)[\s\S]*?^\1/gm, (block) => block.replaceAll(/[^\n]/g, " "))
    .replaceAll(/`[^`\n]*`/g, (code) => " ".repeat(code.length));
}

/** @param {string} markdown @returns {{ target: string, line: number }[]} */
export function linksIn(markdown) {
  const text = withoutCode(markdown);
  const links = [...text.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)|<(?:img|a)\b[^>]*?\b(?:src|href)="([^"]+)"/g)];
  return links.map((match) => ({
    target: match[1] ?? match[2] ?? "",
    line: text.slice(0, match.index).split("\n").length,
  }));
}

/** Anchors as GitHub makes them. @param {string} markdown */
export function anchorsIn(markdown) {
  const anchors = new Set();
  const text = markdown.replaceAll(/^(```+|~~~+)[\s\S]*?^\1/gm, "");
  for (const [, title = ""] of text.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const slug = title
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(/\s/g, "-");
    let anchor = slug;
    for (let again = 1; anchors.has(anchor); again++) anchor = `${slug}-${again}`;
    anchors.add(anchor);
  }
  for (const [, id] of text.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)) anchors.add(id);
  return anchors;
}

/** @param {string} folder */
export function findBrokenLinks(folder) {
  const faults = [];
  for (const path of listFiles(folder).filter((file) => file.endsWith(".md"))) {
    for (const { target, line } of linksIn(readFileSync(join(folder, path), "utf8"))) {
      if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
      const [file = "", anchor] = decodeURI(target).split("#");
      const to = file === "" ? path : normalize(file.startsWith("/") ? file.slice(1) : join(dirname(path), file));
      const full = join(folder, to);
      if (!existsSync(full)) faults.push(`${path}:${line}  ${target} is not there`);
      else if (
        anchor &&
        to.endsWith(".md") &&
        statSync(full).isFile() &&
        !anchorsIn(readFileSync(full, "utf8")).has(anchor)
      )
        faults.push(`${path}:${line}  ${target}: no such heading`);
    }
  }
  return faults;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const faults = findBrokenLinks(root);
  for (const fault of faults) process.stdout.write(`${fault}\n`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}
