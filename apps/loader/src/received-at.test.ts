import { expect, it } from "vitest";
import { receivedAtOf } from "./received-at.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

it("finds the time in a row, wherever in a buffer that is", () => {
  const row = bytes('xxx{"site":"shop","received_at":"2026-11-22 20:15:01.250","name":"é"}').subarray(3);
  expect(receivedAtOf(row)).toBe(Date.UTC(2026, 10, 22, 20, 15, 1, 250));
});

it("says nothing of a row without one, or with one that is no time", () => {
  expect(receivedAtOf(bytes('{"site":"shop"}'))).toBeUndefined();
  expect(receivedAtOf(bytes('{"received_at":"yesterday"}'))).toBeUndefined();
  expect(receivedAtOf(bytes('{"received_at":"2026-11'))).toBeUndefined();
});
