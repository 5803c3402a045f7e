import { expect, it } from "vitest";
import { requestIdOf } from "./request-id.ts";

const idOf = (headers: { [name: string]: string }): string =>
  requestIdOf(
    (name) => headers[name],
    () => "made",
  );
const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const uuid = "0b1d7c9e-5a55-4c0e-9f1a-2f6a4b7c8d9e";

it("is that of the trace, else the proxy's, else a new one", () => {
  expect(idOf({ traceparent: `00-${trace}-00f067aa0ba902b7-01`, "x-request-id": uuid })).toBe(trace);
  expect(idOf({ "x-request-id": uuid })).toBe(uuid);
  expect(idOf({})).toBe("made");
});

it("is never a text of the sender's choice", () => {
  for (const text of ["jane@example.com", "Jane Doe 1234567890", "192.0.2.7", `${uuid}\n${uuid}`, "a", "f".repeat(65)])
    expect(idOf({ "x-request-id": text, traceparent: text })).toBe("made");
});
