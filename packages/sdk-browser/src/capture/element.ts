// A form's fields shadow its own properties by their names (`<input name="matches">`): what belongs to elements is taken from there.

export const is = (element: Element, selector: string): boolean => Element.prototype.matches.call(element, selector);

/** "" when it is not there. */
export const attributeOf = (element: Element, name: string): string =>
  Element.prototype.getAttribute.call(element, name) ?? "";

/**
 * What is never read, and nothing within it: fields whose type says so, what can be edited, and what the page keeps us out of with
 * `data-polder-private`.
 */
export const unreadable =
  "[type=password],[type=hidden],[type=file],[data-polder-private],[contenteditable]:not([contenteditable=false])";

/**
 * The elements that an event passes, from the inside out, through open shadow roots and slots. None where one of them is unreadable.
 * What happens in a closed shadow root happens, for us, to its host.
 */
export const pathOf = (event: Event): Element[] => {
  const path = event.composedPath().filter((node): node is Element => node instanceof Element);
  return path.some((element) => is(element, unreadable)) ? [] : path;
};
