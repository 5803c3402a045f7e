import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

const executablePath = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));
const userAgent =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
// What the browser script does in a page, before a server that only records: the others need all of Polder.
const pages = "sdk-*.spec.ts";
const resultsFile = process.env.POLDER_E2E_RESULTS;

export default defineConfig({
  testDir: "flows",
  // Stories share the machine with the servers that they start; a retry would hide what it should show.
  workers: 1,
  projects: [
    // A run empties its folder, and the other one may be under way.
    { name: "pages", testMatch: pages, outputDir: "../.cache/pages" },
    { name: "e2e", testIgnore: pages, outputDir: "../.cache/e2e" },
  ],
  retries: 0,
  // Limits, not promises: what must be quick measures itself, and a busy machine may take its time to start Polder or to show a page.
  timeout: 600_000,
  expect: { timeout: 120_000 },
  reporter: resultsFile === undefined ? [["list"]] : [["list"], ["json", { outputFile: resultsFile }]],
  use: {
    launchOptions: {
      // A headless browser says so, and is rightly kept apart as a bot. By flag: an option of the context misses requests sent on leaving.
      args: ["--no-sandbox", `--user-agent=${userAgent}`],
      ...(executablePath !== undefined && { executablePath }),
    },
  },
});
