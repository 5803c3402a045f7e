/**
 * The same configuration with settings that have another place by now put there: files written for an earlier version go on working, and there is
 * one way to say it. What is said in both places is left as it is, for the reader to complain about. Changes nothing of what it was given.
 */
export function moveSettings(config: unknown): unknown {
  if (!isObject(config) || !Array.isArray(config["sites"])) return config;
  return { ...config, sites: config["sites"].map(moveRegime) };
}

/** `regime` of a site was all that could be said about consent. */
function moveRegime(site: unknown): unknown {
  if (!isObject(site) || !Object.hasOwn(site, "regime") || Object.hasOwn(site, "consent")) return site;
  const { regime, ...rest } = site;
  return { ...rest, consent: { regimes: { default: regime } } };
}

type Loose = { readonly [name: string]: unknown };

const isObject = (value: unknown): value is Loose =>
  typeof value === "object" && value !== null && !Array.isArray(value);
