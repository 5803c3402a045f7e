import { expect, it } from "vitest";

import { findLibrary } from "./find-library.ts";

it("finds the library of a platform that has one", () => {
  expect(findLibrary("linux-x64", () => ({ path: "/library" }))).toBe("/library");
});

it("names the platform without a build and what to do instead", () => {
  const find = () => findLibrary("win32-x64", () => undefined);
  expect(find).toThrow(expect.objectContaining({ code: "platform_unsupported" }));
  expect(find).toThrow(/win32-x64.*CLICKHOUSE_URL/s);
});
