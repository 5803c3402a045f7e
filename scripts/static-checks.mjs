// @ts-check
import { join } from "node:path";
import process from "node:process";
import { root, tool } from "./run-command.mjs";

/**
 * @typedef {object} StaticCheck
 * @property {string} name
 * @property {string} hint what to do when it fails
 * @property {string[][]} commands all of them run, so that one fault does not hide the next
 * @property {boolean} needsBuild whether it looks at `dist`
 */

const ownScript = (/** @type {string} */ name) => [process.execPath, join(root, "scripts", name)];
const published = ["packages/protocol", "packages/sdk-browser"];

/** @type {readonly StaticCheck[]} */
export const staticChecks = [
  {
    name: "types",
    hint: "",
    commands: [[...tool("typescript/bin/tsc"), "-p", "tsconfig.check.json"]],
    needsBuild: false,
  },
  {
    name: "lint",
    hint: "`npm run fix` repairs what can be repaired",
    commands: [[...tool("oxlint/bin/oxlint"), "--type-aware", "--deny-warnings"]],
    needsBuild: false,
  },
  {
    name: "format",
    hint: "`npm run fix` formats",
    commands: [[...tool("oxfmt/bin/oxfmt"), "--check"]],
    needsBuild: false,
  },
  {
    name: "boundaries",
    hint: "imports point down: see CONTRIBUTING.md",
    commands: [[...tool("turbo/bin/turbo"), "boundaries"]],
    needsBuild: false,
  },
  {
    name: "source rules",
    hint: "",
    commands: [ownScript("source-rules.mjs")],
    needsBuild: false,
  },
  {
    name: "unused code",
    hint: "remove it, or use it",
    commands: [[...tool("knip/bin/knip.js"), "--no-progress", "--no-config-hints"]],
    needsBuild: false,
  },
  {
    name: "docs links",
    hint: "",
    commands: [ownScript("docs-links.mjs")],
    needsBuild: false,
  },
  {
    name: "packages",
    hint: "",
    commands: [
      [...tool("sherif/index.js")],
      ...published.map((folder) => [...tool("publint/src/cli.js"), folder, "--strict"]),
      ...published.map((folder) => [
        ...tool("@arethetypeswrong/cli/dist/index.js"),
        "--pack",
        folder,
        "--profile",
        "esm-only",
        // The files for tags: a script has no types.
        ...(folder === "packages/sdk-browser"
          ? ["--exclude-entrypoints", "polder.js", "polder.all.js", "polder-banner.js", "polder-overlay.js"]
          : []),
      ]),
    ],
    needsBuild: true,
  },
  {
    name: "size",
    hint: "the budget is in .size-limit.json",
    commands: [[...tool("size-limit/bin.js")]],
    needsBuild: true,
  },
];
