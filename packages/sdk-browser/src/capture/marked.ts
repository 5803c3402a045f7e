import { attributeOf } from "./element.ts";

/** `data-polder-event="Product Added"` names the event of a click or a submit. "" when it is not marked. */
export const markedEvent = (element: Element): string => attributeOf(element, "data-polder-event");

/** `data-polder-prop-order-id="7"` becomes `{ order_id: "7" }`. */
export const markedProperties = (element: Element): { [name: string]: string } => {
  const found: { [name: string]: string } = {};
  for (const name of Element.prototype.getAttributeNames.call(element)) {
    const [, property] = name.split("data-polder-prop-");
    if (property) found[property.replace(/-/g, "_")] = attributeOf(element, name);
  }
  return found;
};
