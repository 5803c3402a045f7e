import { isPrivate } from "./capture.ts";

export type Field = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

const secretType = /^(password|hidden|file)$/;
const secretName = /passw|pwd|cc-|card|cvc|cvv|iban|otp|one.?time|ssn|bsn|secret|token/i;

/** Fields of a form that may be looked at. Never: passwords, hidden fields, cards, one-time codes, what is private. */
export const readableFields = (form: HTMLFormElement): Field[] =>
  // Not `form.elements`: a field of that name would shadow it.
  [...form.querySelectorAll<Field>("input,select,textarea")].filter(
    (field) =>
      !secretType.test(field.type) &&
      !secretName.test(`${field.autocomplete} ${field.name} ${field.id}`) &&
      !isPrivate(field),
  );
