import type { Capture } from "./capture.ts";
import { attributeOf, is, pathOf } from "./element.ts";
import { readableFields, rememberSecret, type Field } from "./form-fields.ts";
import { traitValue } from "./trait-value.ts";

/** Traits by the `autocomplete`, the `name` or the `type` of a field; a page can name others with `data-polder-trait`. */
const traits: { [name: string]: string } = {
  __proto__: null as never,
  email: "email",
  name: "name",
  "given-name": "firstName",
  "family-name": "lastName",
  tel: "phone",
};

/** What may be in a field, the surest sign first. */
const guesses = (field: Field): (string | undefined)[] => [
  attributeOf(field, "data-polder-trait"),
  // It may say more than that, as in `shipping tel`.
  field.autocomplete
    .split(" ")
    .map((name) => traits[name])
    .find((trait) => trait),
  traits[field.name],
  traits[field.type],
];

/**
 * What a visitor typed into a form that the page marked, as traits. Other forms are never read.
 * The tracker refuses it without consent for `profile`.
 * @param selector of marked forms, as `[data-polder-identify],#newsletter`.
 */
export const createFormIdentify =
  (selector = "[data-polder-identify]"): Capture =>
  ({ record, on }) => {
    on(document, "input", rememberSecret);
    on(document, "submit", (event) => {
      const form = pathOf(event)[0] as HTMLFormElement | undefined;
      if (!form || !is(form, selector)) return;
      const found: { [trait: string]: string | boolean } = {};
      const ranks: { [trait: string]: number } = {};
      for (const field of readableFields(form)) {
        const { type, checked } = field as HTMLInputElement;
        const signs = guesses(field);
        const rank = signs.findIndex((trait) => trait);
        const trait = signs[rank];
        // Of fields for one trait the surest counts, then the first.
        if (!trait || ranks[trait]! <= rank || (type === "radio" && !checked)) continue;
        // What is not shown was not typed by the visitor, but maybe filled in by the browser.
        const value = type === "checkbox" ? checked : field.offsetParent && traitValue(trait, field.value);
        if (value === "" || value === null) continue;
        found[trait] = value;
        ranks[trait] = rank;
      }
      if (!Object.keys(found).length) return;
      // A login says who it is: by the field for it, else by e-mail.
      const { userId = attributeOf(form, "data-polder-identify") ? found.email : undefined, ...rest } = found;
      record("identify", { userId, traits: rest }, { context: { origin: "declared" } });
    });
  };

export const captureFormIdentify: Capture = /* @__PURE__ */ createFormIdentify();
