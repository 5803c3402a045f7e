import { isPrivate, type Capture } from "./capture.ts";
import { markedEvent, markedProperties } from "./marked.ts";
import { readableFields } from "./form-fields.ts";

/** Submitted forms: which form and which fields, never what was typed. */
export const captureFormSubmits: Capture = ({ record, on }) => {
  on(document, "submit", ({ target }) => {
    const form = target as HTMLFormElement;
    if (isPrivate(form)) return;
    record("track", {
      event: markedEvent(form) ?? "Form Submitted",
      properties: {
        form: form.getAttribute("id") ?? form.getAttribute("name") ?? undefined,
        fields: [...new Set(readableFields(form).map(({ name }) => name))].filter((name) => name),
        ...markedProperties(form),
      },
    });
  });
};
