import type { Moment } from "../tracker.ts";
import type { Capture } from "./capture.ts";
import { formName, isReadable, rememberSecret, type Field } from "./form-fields.ts";
import { onRoute } from "./on-route.ts";

/** Forms in which the visitor changed something and that were not submitted when the page was left. Names of fields, never values. */
export const captureFormAbandonment: Capture = (tools) => {
  const { record, on, onChoice } = tools;
  const changed = new Map<unknown, { form: string | undefined; fields: string[]; last_field: string }>();

  on(document, "input", (event) => {
    rememberSecret(event);
    // Not in a shadow root, whose submits nobody hears out here.
    const { form, name } = event.target as Field;
    if (!form || !name || !isReadable(event.target as Field)) return;
    const fields = changed.get(form)?.fields ?? [];
    changed.set(form, { form: formName(form), fields: [...new Set([...fields, name])], last_field: name });
  });
  // A script that submits a form, or sends what is in it by itself, gives no other sign than the latter.
  for (const type of ["submit", "formdata"]) on(document, type, ({ target }) => changed.delete(target));

  const leave = (moment?: Moment): void => {
    for (const properties of changed.values()) {
      record("track", { event: "Form Abandoned", properties }, {}, moment);
    }
    changed.clear();
  };
  on(window, "pagehide", () => leave());
  onRoute(tools, leave);
  // What was done before a choice is not told after it.
  onChoice(() => changed.clear());
};
