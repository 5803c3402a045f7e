#!/usr/bin/env node
// Only Node's own modules until the version and the build are known to be there: what follows may need both.
import { existsSync } from "node:fs";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const entry = new URL("../dist/main.js", import.meta.url);

if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `Polder needs Node 20.19 or newer; this is ${process.versions.node}. Install a newer one from https://nodejs.org.`,
  );
  process.exitCode = 1;
} else if (!existsSync(entry)) {
  console.error("Polder is not built yet. Run `npm start` in its folder, or `npm ci && npm run build`.");
  process.exitCode = 1;
} else {
  const { main } = await import(entry.href);
  process.exitCode = await main();
}
