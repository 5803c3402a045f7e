import { expect, it } from "vitest";
import { isLocalHostHeader, isLoopback } from "./local-host.ts";

it.each([
  ["127.0.0.1", true],
  ["127.5.0.1", true],
  ["::1", true],
  ["localhost", true],
  ["0.0.0.0", false],
  ["::", false],
  ["192.168.1.4", false],
  ["127.0.0.1.example", false],
  ["localhost.example", false],
])("%s is loopback: %s", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

it.each([
  ["localhost:8082", true],
  ["LOCALHOST", true],
  ["shop.localhost:1", true],
  ["127.0.0.1:8082", true],
  ["[::1]:8082", true],
  [undefined, true],
  ["rebound.example", false],
  ["localhost.rebound.example:8082", false],
  ["127.0.0.1.rebound.example", false],
  ["", false],
])("a request for %s is local: %s", (host, expected) => {
  expect(isLocalHostHeader(host)).toBe(expected);
});
