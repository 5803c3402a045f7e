import { holdsCard } from "../scrub.ts";
import { isPrivate, type Capture } from "./capture.ts";
import { readableFields, type Field } from "./form-fields.ts";

/** Traits by the `autocomplete`, the `name` or the `type` of a field; a page can name others with `data-polder-trait`. */
const traits = new Map([
  ["email", "email"],
  ["name", "name"],
  ["given-name", "firstName"],
  ["family-name", "lastName"],
  ["tel", "phone"],
]);

const traitOf = (field: Field): string | undefined =>
  field.getAttribute("data-polder-trait") ??
  [field.autocomplete, field.name, field.type].map((name) => traits.get(name)).find((trait) => trait);

/**
 * What a visitor typed into a form that the page marked with `data-polder-identify`, as traits. Other forms are never read.
 * The tracker refuses it without consent for `profile`.
 */
export const captureFormIdentify: Capture = ({ record, on }) => {
  on(document, "submit", ({ target }) => {
    const form = target as HTMLFormElement;
    const mode = form.getAttribute("data-polder-identify");
    if (mode === null || isPrivate(form)) return;
    const found: { [trait: string]: string | boolean } = {};
    for (const field of readableFields(form)) {
      const { type, checked } = field as HTMLInputElement;
      const trait = traitOf(field);
      const text = field.value.trim();
      if (!trait || (type === "radio" && !checked)) continue;
      if (type === "checkbox") found[trait] = checked;
      // A card number in the wrong field is still a card number.
      else if (text && !holdsCard(text)) found[trait] = trait === "email" ? text.toLowerCase() : text;
    }
    const { userId = mode ? found.email : undefined, ...rest } = found;
    if (Object.keys(found).length) record("identify", { userId, traits: rest }, { context: { origin: "declared" } });
  });
};
