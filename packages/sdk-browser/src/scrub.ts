/** Names of what is never read: of fields, and of parameters in addresses. */
export const secretName =
  /pass|pwd|cc-|card|cv[cv]|iban|otp|one.?time|[bs]sn|secret|token|jwt|signature|verific|auth(?!or)|api.?key|sessi|(^|[^\w-])(code|key|pin|si[dg])([^\w-]|$)/i;

/**
 * Text without mail addresses and long numbers. Every number of nine digits or more goes, in groups or not: cards, bank accounts,
 * citizen service numbers and telephone numbers alike, so that no check of one country's numbers is needed here. Takes a time that is the
 * square of the longest word: cut the text first.
 */
export const scrub = (text: string): string =>
  text.replace(/\S+( @ |@)\S+/g, "[email]").replace(/\w*\d([\W_]{0,3}\d){8,}/g, "[number]");

/** An address without the values of parameters that are secret by their name, and without mail addresses. */
export const scrubUrl = (url: string): string =>
  url
    .replace(/([?&#][^=?&#]*=)[^&#]*/g, (pair, name: string) => (secretName.test(name) ? name : pair))
    .replace(/([/?&#=])[^/?&#=@]+(@|%40)[^/?&#]*/g, "$1[email]");

/** What tells one campaign, or one click on an advertisement, from another. */
export const campaignParameters = /\b(utm_\w+|\w+clk?id)=[^&#]+/g;
