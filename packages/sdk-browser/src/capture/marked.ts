/** `data-polder-event="Product Added"` names the event of a click or a submit. */
export const markedEvent = (element: Element): string | null => element.getAttribute("data-polder-event");

/** `data-polder-prop-order-id="7"` becomes `{ order_id: "7" }`. */
export const markedProperties = (element: Element): { [name: string]: string } =>
  Object.fromEntries(
    [...element.attributes].flatMap(({ name, value }) => {
      const [, property] = name.split("data-polder-prop-");
      return property ? [[property.replace(/-/g, "_"), value]] : [];
    }),
  );
