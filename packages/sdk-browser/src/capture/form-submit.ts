import type { Capture } from "./capture.ts";
import { pathOf } from "./element.ts";
import { formName, readableFields } from "./form-fields.ts";
import { markedEvent, markedProperties } from "./marked.ts";

/** Submitted forms: which form and which fields, never what was typed. */
export const captureFormSubmits: Capture = ({ record, on }) => {
  on(document, "submit", (event) => {
    const form = pathOf(event)[0] as HTMLFormElement | undefined;
    if (!form) return;
    record("track", {
      event: markedEvent(form) || "Form Submitted",
      properties: {
        form: formName(form),
        fields: [...new Set(readableFields(form).map(({ name }) => name))].filter((name) => name),
        ...markedProperties(form),
      },
    });
  });
};
