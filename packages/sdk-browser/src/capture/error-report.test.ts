import { describe, expect, it } from "vitest";
import { errorReport } from "./error-report.ts";

const failed = (message: string, stack: string): Error => Object.assign(new TypeError(message), { stack });

describe("errorReport", () => {
  it("says what, where and in which call, without queries and personal data", () => {
    const error = failed(
      "No card 4111 1111 1111 1111 for jane@example.com",
      "TypeError: No card 4111 1111 1111 1111 for jane@example.com\n    at pay (https://shop.example/app.js?key=secret:10:5)\n    at b",
    );
    const details = { message: "Uncaught", filename: "https://shop.example/app.js?key=secret#x", lineno: 10, colno: 5 };
    expect(errorReport(error, details)).toEqual({
      message: "No card [number] for [email]",
      type: "TypeError",
      source: "https://shop.example/app.js",
      line_number: 10,
      column_number: 5,
      frame: "at pay (https://shop.example/app.js:10:5)",
    });
  });

  it("reads the frames of other browsers", () => {
    const stack = "pay@https://shop.example/app.js:10:5\n@https://shop.example/app.js:20:1";
    expect(errorReport(failed("x", stack))?.frame).toBe("pay@https://shop.example/app.js:10:5");
  });

  it("takes words for a message, and cuts long ones", () => {
    expect(errorReport("Words")).toEqual({ message: "Words" });
    expect(errorReport("x".repeat(500))?.message).toHaveLength(200);
  });

  it.each([
    ["another site's script", null, { message: "Script error.", lineno: 0 }],
    ["a picture that did not load", undefined, {}],
    ["a reason that is no text", { secret: "x" }, {}],
    ["a message that is no text", { message: { secret: "x" } }, {}],
    ["no reason", undefined, undefined],
  ])("says nothing of %s", (_, error, details) => expect(errorReport(error, details)).toBeUndefined());

  it("keeps the line of a message that names one", () => {
    expect(errorReport(undefined, { message: "Script error.", lineno: 3 })?.line_number).toBe(3);
  });
});
