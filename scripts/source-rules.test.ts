import { describe, expect, it } from "vitest";
import { blankOut } from "./blank-out.mjs";
import { findFaults, sourceRules } from "./source-rules.mjs";

const faultLines = (path: string, source: string) => findFaults(path, source).map(({ line }) => line);

describe("source rules", () => {
  it.each([
    ["packages/kafka/src/event-log.ts", "const brokers = process.env.KAFKA_BROKERS;"],
    ["apps/loader/src/load.ts", "const { KAFKA_BROKERS } = process . env;"],
    ["apps/loader/src/load.ts", 'import { env } from "node:process";'],
    ["packages/core/src/ports/event-log.ts", "append(value: any): void;"],
    ["packages/core/src/ports/event-log.ts", "rows: Map<string, any>"],
    ["packages/core/src/pipeline/clock.ts", "const now = Date.now();"],
    ["packages/core/src/pipeline/clock.ts", "const now = new Date();"],
    ["apps/api/src/server.test.ts", "await new Promise((done) => setTimeout(done, 50));"],
    ["test-e2e/flows/shop.spec.ts", "await page.waitForTimeout(500);"],
    ["test-e2e/playwright.config.ts", "export default { retries: 2 };"],
    ["apps/api/src/server.test.ts", "it.only('one', () => {});"],
    ["apps/api/src/server.ts", "export default server;"],
    ["apps/api/src/index.ts", 'export * from "./server.ts";'],
    ["apps/api/src/utils.ts", ""],
    ["apps/api/src/helpers/server.ts", ""],
    ["apps/api/src/liveFeed.ts", ""],
  ])("refuses in %s: %s", (path, source) => {
    expect(faultLines(path, source)).toEqual([1]);
  });

  it.each([
    ["apps/loader/src/main.ts", "start(process.env);"],
    ["apps/loader/src/config.ts", "export const readConfig = () => process.env.POLDER_DATA;"],
    ["packages/kafka/src/event-log.kafka.test.ts", "const brokers = process.env.KAFKA_BROKERS;"],
    ["packages/core/src/ports/event-log.ts", "/** any order, as any reader may ask */ company: string;"],
    ["packages/core/src/pipeline/clock.ts", "const now = new Date(receivedAt);"],
    ["apps/api/src/server.ts", "setTimeout(close, 50);"],
    ["apps/api/src/server.test.ts", 'expect(text).toContain("setTimeout(");'],
    ["apps/api/src/server.test.ts", "setTimeout(fail, 50); // not a wait: the deadline under test"],
    ["apps/api/src/server.test.ts", "// not a wait: the deadline under test\nsetTimeout(fail, 50);"],
  ])("takes in %s: %s", (path, source) => {
    expect(faultLines(path, source)).toEqual([]);
  });

  it("names the line", () => {
    expect(faultLines("packages/core/src/clock.ts", "// a\n/* b\n   c */\nMath.random();\n")).toEqual([4]);
  });

  it("says what to do in every rule", () => {
    for (const { says } of sourceRules) expect(says.length).toBeGreaterThan(20);
  });
});

describe("blankOut", () => {
  it.each([
    ['a("x // y") // z', 'a("      ")     '],
    ["a('it\\'s') + b", "a('     ') + b"],
    ["`a ${b(`c ${d}`)} e`", "`  ${b(`  ${d}`)}  `"],
    ["`${{ a: 1 }.a} b`", "`${{ a: 1 }.a}  `"],
    ['x = /["/]/.test(y)', "x = /    /.test(y)"],
    ["a / b / c", "a / b / c"],
    ["/* a\nb */ c", "    \n     c"],
  ])("%s", (source, code) => {
    expect(blankOut(source)).toBe(code);
  });

  it("ends on what is never closed", () => {
    for (const source of ["'", '"a\\', "`", "`${", "/* a", "//", "x = /a", "`\\"])
      expect(blankOut(source)).toHaveLength(source.length);
  });
});
