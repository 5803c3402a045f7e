const least = 10;
const most = 60;

/** How often audiences are worked out, in milliseconds: of POLDER_AUDIENCE_SECONDS. Throws an error with a sentence for the user. */
export function readAudienceEveryMs(env: { readonly [name: string]: string | undefined }): number {
  const text = env["POLDER_AUDIENCE_SECONDS"] || String(least);
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < least || seconds > most)
    throw new Error(`POLDER_AUDIENCE_SECONDS must be a whole number from ${least} to ${most}.`);
  return seconds * 1_000;
}
