/** The check of payment cards. */
const passesLuhn = (number: string): boolean =>
  !(
    Array.from(number.replace(/\D/g, ""), Number)
      .reverse()
      .reduce((sum, digit, place) => sum + ((place % 2 && (digit * 2) % 9) || digit), 0) % 10
  );

/**
 * Whether a payment card's number is in it: Luhn, and a first digit that card networks use. Without that every tenth customer number of 13 digits
 * would be one.
 */
export const holdsCard = (text: string): boolean =>
  (text.match(/(?:^|\D)[2-6](?:[ .-]?\d){12,18}(?!\d)/g) ?? []).some(passesLuhn);

/**
 * Text without mail addresses and long numbers. Every number of nine digits or more goes, in groups or not: cards, bank accounts,
 * citizen service numbers and telephone numbers alike, so that no check of one country's numbers is needed here.
 */
export const scrub = (text: string): string =>
  text.replace(/\S+@\S+/g, "[email]").replace(/\d(?:[ .-]?\d){8,}/g, "[number]");
