const space = /[ \t\n\r]*/y;
const scalar = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// oxlint-disable-next-line no-control-regex -- these are the characters that JSON forbids in a string
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

/**
 * Where a text stops being JSON: the offset of the first character that cannot be, or the length of a text that ends too early. Undefined: it is JSON.
 * `JSON.parse` tells the place on some engines only, and quotes the text around it, which can hold keys.
 */
export function findJsonFault(text: string): number | undefined {
  let at = 0;
  // What encloses the place we are at, innermost last, and what may come next.
  const open: ("[" | "{")[] = [];
  let next: "value" | "value or ]" | "name" | "name or }" | "end of item" = "value";

  function take(pattern: RegExp): boolean {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    at += match?.[0].length ?? 0;
    return match !== null;
  }

  for (;;) {
    take(space);
    const character = text[at];
    const inside = open.at(-1);
    if (next === "end of item") {
      if (inside === undefined) return at === text.length ? undefined : at;
      if (character === ",") next = inside === "[" ? "value" : "name";
      else if (character === (inside === "[" ? "]" : "}")) open.pop();
      else return at;
      at++;
    } else if ((next === "value or ]" && character === "]") || (next === "name or }" && character === "}")) {
      at++;
      open.pop();
      next = "end of item";
    } else if (next === "name" || next === "name or }") {
      if (!take(string)) return at;
      take(space);
      if (text[at] !== ":") return at;
      at++;
      next = "value";
    } else if (character === "[" || character === "{") {
      at++;
      open.push(character);
      next = character === "[" ? "value or ]" : "name or }";
    } else if (take(string) || take(scalar)) next = "end of item";
    else return at;
  }
}
