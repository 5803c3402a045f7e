import { connect } from "node:net";
import { expect, it } from "vitest";
import { LogUnavailableError } from "../ports/event-log.ts";
import { errorKind, errorText } from "./error-text.ts";

it("says what our own errors and the system's say", async () => {
  expect(errorText(new LogUnavailableError("The log is away."))).toBe("The log is away.");
  expect(errorText(new Error("partition 3 has given out all atoms"))).toContain("partition 3");
  const refused = await new Promise((resolve) => connect(1, "127.0.0.1").once("error", resolve));
  expect(errorText(refused)).toContain("ECONNREFUSED");
});

it("says the kind alone of one that can quote what visitors sent", () => {
  class QueryError extends Error {
    readonly code = 27;
    override readonly name = "QueryError";
  }
  expect(errorText(new QueryError("Cannot parse input before: 'jane@example.com'"))).toBe("QueryError 27");
  let fault: unknown;
  try {
    JSON.parse("jane@example.com");
  } catch (error) {
    fault = error;
  }
  expect(String(fault)).toContain("jane");
  expect(errorText(fault)).toBe("SyntaxError");
  expect(errorText("jane@example.com")).toBe("string thrown");
});

it("can be told not to quote anything at all", () => {
  expect(errorKind(new LogUnavailableError("jane@example.com"))).toBe("Error log_unavailable");
  expect(errorKind(new TypeError("jane@example.com"))).toBe("TypeError");
  expect(errorKind(undefined)).toBe("undefined thrown");
});
