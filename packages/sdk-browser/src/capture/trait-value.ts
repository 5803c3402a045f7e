import { scrub } from "../scrub.ts";

/** What a trait must look like; any other must hold neither a mail address nor a long number. */
const shapes: { [trait: string]: RegExp } = {
  __proto__: null as never,
  email: /^\S+@\S+$/,
  phone: /^\+?\d{7,}$/,
  userId: /./,
};
/** From 14 digits on it may be a payment card. */
const cardLike = /\d([\W_]{0,3}\d){13}/;
/** What is longer is a message, and no trait. */
const maxTraitChars = 500;

/**
 * What a visitor typed, as a trait: e-mail in lower case, phone as its digits and a leading +. No country is guessed: a number without one
 * stays so. "" for what cannot be that trait, or holds what was not asked for, as the number of a card or an account.
 */
export const traitValue = (trait: string, typed: string): string => {
  let text = typed.trim();
  if (text.length > maxTraitChars) return "";
  if (trait === "email") text = text.toLowerCase();
  // +31 (0)6 is +31 6.
  if (trait === "phone") text = text.replace(/\(0\)|[\s()./-]/g, "");
  return (shapes[trait]?.test(text) ?? scrub(text) === text) && !cardLike.test(text) ? text : "";
};
