// @ts-check
// Imported first by every script, so that an old Node stops here with a sentence and not at newer syntax further on.
import process from "node:process";

const leastMajor = 20;
const leastMinor = 19;

/**
 * @param {string} version as `20.19.1`
 * @returns {string | undefined} why this Node cannot run Polder, and what to do
 */
export function nodeVersionFault(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isOld = major < leastMajor || (major === leastMajor && minor < leastMinor);
  if (!isOld) return undefined;
  return `Polder needs Node ${leastMajor}.${leastMinor} or newer and this is Node ${version}: install a newer one from https://nodejs.org and run the command again.`;
}

const fault = nodeVersionFault(process.versions.node);
if (fault) {
  process.stderr.write(`${fault}\n`);
  process.exit(1);
}
