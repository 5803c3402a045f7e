import { secretName } from "../scrub.ts";
import { attributeOf, pathOf, unreadable } from "./element.ts";

export type Field = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

const typedInSecret = new WeakSet<EventTarget>();

/** For every `input` event: what was unreadable while it was typed stays so. A page may show a password as text later. */
export const rememberSecret = (event: Event): void => {
  if (!pathOf(event)[0]) typedInSecret.add(event.target!);
};

/** Never: passwords, hidden fields, files, cards, one-time codes, what is private. */
export const isReadable = (field: Field): boolean =>
  !typedInSecret.has(field) &&
  !secretName.test(`${field.autocomplete} ${field.name} ${field.id}`) &&
  !field.closest(unreadable);

/** Fields of a form that may be looked at. */
export const readableFields = (form: HTMLFormElement): Field[] =>
  [...Element.prototype.querySelectorAll.call(form, "input,select,textarea")].filter((field) =>
    isReadable(field as Field),
  ) as Field[];

export const formName = (form: HTMLFormElement): string | undefined =>
  attributeOf(form, "id") || attributeOf(form, "name") || undefined;
