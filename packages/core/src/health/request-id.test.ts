import { expect, it } from "vitest";
import { requestIdOf } from "./request-id.ts";

const idOf = (headers: { [name: string]: string }): string =>
  requestIdOf(
    (name) => headers[name],
    () => "made",
  );
const idOfStranger = (): string => requestIdOf(undefined, () => "made");
const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const uuid = "0b1d7c9e-5a55-4c0e-9f1a-2f6a4b7c8d9e";

it("is that of the trace, else the proxy's, else a new one", () => {
  expect(idOf({ traceparent: `00-${trace}-00f067aa0ba902b7-01`, "x-request-id": uuid })).toBe(trace);
  expect(idOf({ "x-request-id": uuid })).toBe(uuid);
  expect(idOf({ "x-request-id": trace })).toBe(trace);
  expect(idOf({ "x-request-id": uuid.toUpperCase() })).toBe(uuid.toUpperCase());
  expect(idOf({})).toBe("made");
  expect(idOfStranger()).toBe("made");
});

it("is never a text of the sender's choice", () => {
  for (const text of [
    "jane@example.com",
    "Jane Doe 1234567890",
    "192.0.2.7",
    `${uuid}\n${uuid}`,
    "a",
    "f".repeat(31),
    "f".repeat(64),
    "-".repeat(36),
  ])
    expect(idOf({ "x-request-id": text, traceparent: text })).toBe("made");
});

it("is never a number: a card's, a telephone's, a citizen's", () => {
  const digits = "4111111111111111".padStart(32, "0");
  for (const text of ["4111111111111111", digits, "41111111-1111-1111-0000-000000000000"])
    expect(idOf({ "x-request-id": text, traceparent: `00-${digits}-00f067aa0ba902b7-01` })).toBe("made");
});
