import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

const executablePath = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));
const resultsFile = process.env.POLDER_E2E_RESULTS;

export default defineConfig({
  testDir: "flows",
  // Stories share the machine with the servers that they start; a retry would hide what it should show.
  workers: 1,
  retries: 0,
  timeout: 60_000,
  reporter: resultsFile === undefined ? [["list"]] : [["list"], ["json", { outputFile: resultsFile }]],
  outputDir: "../.cache/e2e",
  use: {
    launchOptions: { args: ["--no-sandbox"], ...(executablePath !== undefined && { executablePath }) },
  },
});
