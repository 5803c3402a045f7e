/** `data-polder-event="Product Added"` names the event of a click or a submit. */
export const markedEvent = (element: Element): string | null => element.getAttribute("data-polder-event");

/** `data-polder-prop-order-id="7"` becomes `{ order_id: "7" }`. */
export const markedProperties = (element: Element): { [name: string]: string } => {
  const found: { [name: string]: string } = {};
  for (const { name, value } of element.attributes) {
    const [, property] = name.split("data-polder-prop-");
    if (property) found[property.replace(/-/g, "_")] = value;
  }
  return found;
};
