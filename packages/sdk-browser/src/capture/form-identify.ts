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

const traitOf = (field: Field): string | undefined =>
  attributeOf(field, "data-polder-trait") ||
  // `autocomplete` may say more than that, as in `shipping tel`.
  [...field.autocomplete.split(" "), field.name, field.type].map((name) => traits[name]).find((trait) => trait);

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
      for (const field of readableFields(form)) {
        const { type, checked } = field as HTMLInputElement;
        const trait = traitOf(field);
        if (!trait || (type === "radio" && !checked)) continue;
        if (type === "checkbox") found[trait] = checked;
        else {
          // What is not shown was not typed by the visitor, but maybe filled in by the browser.
          const value = field.offsetParent && traitValue(trait, field.value);
          if (value) found[trait] = value;
        }
      }
      if (!Object.keys(found).length) return;
      // A login says who it is: by the field for it, else by e-mail.
      const { userId = attributeOf(form, "data-polder-identify") ? found.email : undefined, ...rest } = found;
      record("identify", { userId, traits: rest }, { context: { origin: "declared" } });
    });
  };

export const captureFormIdentify: Capture = /* @__PURE__ */ createFormIdentify();
