import { describe, expect, it } from "vitest";
import { createLinkTokens, linkLifetimeMs, type LinkBinding } from "./link-token.ts";

const binding: LinkBinding = {
  siteId: "shop",
  toHost: "shop.example",
  userAgent: "Browser/1",
  acceptLanguage: "nl",
};
const id = 'Jané "1".t5x2mk';

function createClockedTokens(secret = "s".repeat(32)) {
  const clock = { now: 1_000_000 };
  return { clock, ...createLinkTokens({ secret, now: () => clock.now }) };
}

describe("a link's token", () => {
  it("carries the id for two minutes, and not a moment longer", () => {
    const { clock, seal, open } = createClockedTokens();
    const token = seal(id, binding);
    clock.now += linkLifetimeMs;
    expect(open(token, binding)).toBe(id);
    clock.now += 1;
    expect(open(token, binding)).toBeUndefined();
  });

  it("is safe in an address, tells nothing of the id, and is another every time", () => {
    const { seal } = createClockedTokens();
    const token = seal("abcdefgh.t5x2mk", binding);
    expect(token).toMatch(/^[\w-]+$/);
    expect(Buffer.from(token, "base64url").toString("latin1")).not.toContain("abcdefgh");
    expect(seal("abcdefgh.t5x2mk", binding)).not.toBe(token);
  });

  it.each(Object.keys(binding) as (keyof LinkBinding)[])("does not count with another %s", (part) => {
    const { seal, open } = createClockedTokens();
    expect(open(seal(id, binding), { ...binding, [part]: "other" })).toBeUndefined();
  });

  it("does not count with another secret", () => {
    const token = createClockedTokens("a".repeat(32)).seal(id, binding);
    expect(createClockedTokens("b".repeat(32)).open(token, binding)).toBeUndefined();
  });

  it("does not count when anything of it was changed", () => {
    const { seal, open } = createClockedTokens();
    const sealed = Buffer.from(seal(id, binding), "base64url");
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed);
      changed[at]! ^= 1;
      expect(open(changed.toString("base64url"), binding)).toBeUndefined();
    }
    for (let length = 0; length < sealed.length; length++)
      expect(open(sealed.subarray(0, length).toString("base64url"), binding)).toBeUndefined();
    expect(open("not a token, é", binding)).toBeUndefined();
  });
});
