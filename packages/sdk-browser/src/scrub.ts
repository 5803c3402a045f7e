/** Names of what is never read: of fields, and of parameters in addresses. */
export const secretName = /pass|pwd|cc-|card|cv[cv]|iban|otp|one.?time|[bs]sn|secret|token/i;

/**
 * Text without mail addresses and long numbers. Every number of nine digits or more goes, in groups or not: cards, bank accounts,
 * citizen service numbers and telephone numbers alike, so that no check of one country's numbers is needed here.
 */
export const scrub = (text: string): string =>
  text.replace(/\S+( @ |@)\S+/g, "[email]").replace(/\d(\W{0,3}\d){8,}/g, "[number]");

/** An address without the values of parameters that are secret by their name, or hold a mail address. */
export const scrubUrl = (url: string): string =>
  url.replace(/([?&#][^=&#]*=)([^&#]*)/g, (pair, name: string, value: string) =>
    secretName.test(name) || /@|%40/.test(value) ? name : pair,
  );
