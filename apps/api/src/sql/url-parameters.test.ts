import fc from "fast-check";
import { expect, it } from "vitest";
import { parseParameters, renderParameters } from "./url-parameters.ts";

it("reads a search as the engine does", () => {
  const found = parseParameters("?query=SELECT+1%2B1&a&b=&%71uery=x%zz&=y&param_x=a=b%FF");
  expect(found.map(({ name, value }) => [name, value.toString("latin1")])).toEqual([
    ["query", "SELECT 1+1"],
    ["a", ""],
    ["b", ""],
    ["query", "x%zz"],
    ["", "y"],
    ["param_x", "a=b\xff"],
  ]);
});

it("writes what it reads, byte for byte", () => {
  const seed = 20_261_122;
  const parameter = fc.record({
    name: fc.stringMatching(/^[a-z_]{1,8}$/),
    value: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  });
  fc.assert(
    fc.property(fc.array(parameter, { maxLength: 5 }), (parameters) => {
      const text = renderParameters(parameters);
      expect(text).toMatch(/^[\w%&=.~-]*$/);
      expect(parseParameters(text)).toEqual(parameters);
    }),
    { seed },
  );
});
