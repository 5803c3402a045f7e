import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFakeContext } from "./fake-context.ts";
import { runCli } from "./run-cli.ts";
import { trackingPlanJsonSchema } from "./tracking-plan-schema.ts";

const root = fileURLToPath(new URL("../../../../", import.meta.url));

let cwd = "";
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-types-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const run = async (...args: string[]) => {
  const context = createFakeContext({ cwd });
  const code = await runCli(["types", ...args], context);
  return { code, out: context.printed(), err: context.complained() };
};
const keep = (name: string, content: unknown): Promise<void> =>
  writeFile(join(cwd, name), typeof content === "string" ? content : JSON.stringify(content));
const read = (name: string): Promise<string> => readFile(join(cwd, name), "utf8");

const shopPlan = {
  $schema: "../docs/tracking-plan.schema.json",
  events: {
    "Order Completed": {
      description: "The shop has taken the order.\nOnce an order.",
      properties: {
        order_id: { type: "string", description: "As on the invoice." },
        total: { type: "number", minimum: 0 },
        currency: { enum: ["EUR", "USD"] },
        at: { type: "string", format: "date-time" },
        coupon: { type: ["string", "null"] },
        "gift wrap": { type: "boolean", deprecated: true },
        products: {
          type: "array",
          items: {
            type: "object",
            properties: { sku: { type: "string" }, quantity: { type: "integer" } },
            required: ["sku"],
          },
        },
        extra: { type: "object" },
      },
      required: ["order_id", "total", "currency"],
    },
    "Chat Opened": {},
    Searched: { properties: { query: { type: "string" } }, additionalProperties: true },
  },
  traits: { properties: { plan: { enum: ["free", 2, null] } } },
};

const shopTypes = `/** Made from a tracking plan, not by hand. Change the plan, then run: npx polder types plan.json --out plan.ts */

/** Every event and what it carries. */
export type Plan = {
  /**
   * The shop has taken the order.
   * Once an order.
   */
  "Order Completed": {
    /** As on the invoice. */
    order_id: string;
    total: number;
    currency: "EUR" | "USD";
    at?: Date | string | undefined;
    coupon?: string | null | undefined;
    /** @deprecated */
    "gift wrap"?: boolean | undefined;
    products?: ReadonlyArray<{
      sku: string;
      quantity?: number | undefined;
    }> | undefined;
    extra?: { [property: string]: unknown } | undefined;
  };
  "Chat Opened": { [property: string]: never };
  Searched: {
    query?: string | undefined;
    [property: string]: unknown;
  };
};

/** What is known of a visitor. */
export type Traits = {
  plan?: "free" | 2 | null | undefined;
};
`;

/** What the compiler has to say, as `file:line code`, about files beside each other in a project with the packages of this workspace. */
async function compile(...files: string[]): Promise<string[]> {
  await symlink(join(root, "node_modules"), join(cwd, "node_modules")).catch(() => undefined);
  const compilerOptions = {
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    target: "ES2022",
    module: "NodeNext",
    lib: ["ES2023", "DOM", "DOM.Iterable"],
    types: [],
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    // The sources of the SDK, as they are now.
    customConditions: ["source"],
  };
  await keep("package.json", { type: "module" });
  await keep("tsconfig.json", { compilerOptions, files });
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const text = await new Promise<string>((resolve) => {
    execFile(process.execPath, [tsc, "-p", cwd, "--pretty", "false"], { cwd }, (_, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });
  return (
    text
      .split("\n")
      // What is wrong with the packages themselves, others tell.
      .filter((line) => /^[\w-]+\.ts\(/.test(line))
      .map((line) => line.replace(/^(.*)\((\d+),\d+\): error (TS\d+):.*$/, "$1:$2 $3"))
  );
}

describe("polder types", () => {
  it("makes the types of a plan, and the same text every time", async () => {
    await keep("plan.json", shopPlan);
    expect(await run("plan.json", "--out", "plan.ts")).toEqual({
      code: 0,
      out: "",
      err: "Made plan.ts of 3 events.\n",
    });
    expect(await read("plan.ts")).toBe(shopTypes);
    await run("plan.json", "--out", "plan.ts");
    expect(await read("plan.ts")).toBe(shopTypes);
    expect((await run("plan.json")).out).toBe(shopTypes.replace(" --out plan.ts", ""));
  });

  it("takes an export of a Segment plan for the same", async () => {
    const schema = (part: string, properties: object) => ({
      $schema: "x",
      type: "object",
      properties: { context: {}, [part]: properties },
    });
    await keep("plan.json", shopPlan);
    await keep("export.json", {
      name: "plans/shop",
      rules: {
        events: Object.entries(shopPlan.events as { [name: string]: { description?: string } }).map(
          ([name, { description, ...properties }]) => ({
            name,
            description,
            version: 1,
            labels: {},
            rules: schema("properties", { type: "object", labels: {}, ...properties }),
          }),
        ),
        identify: schema("traits", shopPlan.traits),
      },
    });
    expect((await run("export.json")).out).toBe((await run("plan.json")).out.replace("plan.json", "export.json"));
  });

  it("leaves open what an export says nothing about", async () => {
    const event = (name: string, rules?: object) => ({ name, rules });
    const properties = { type: "object", properties: { any: {} } };
    await keep("export.json", { rules: { events: [event("A"), event("B", { properties: { properties } })] } });
    const { out } = await run("export.json");
    expect(out).toContain("A: { [property: string]: unknown };");
    expect(out).toContain("any?: unknown | undefined;");
  });

  it("--check tells whether the file is what the plan makes, and writes nothing", async () => {
    await keep("plan.json", shopPlan);
    expect(await run("plan.json", "--out", "plan.ts", "--check")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/cannot be read/),
    });
    await run("plan.json", "--out", "plan.ts");
    expect((await run("plan.json", "--out", "plan.ts", "--check")).code).toBe(0);
    await keep("plan.ts", "// changed by hand\n");
    const { code, err } = await run("plan.json", "--out", "plan.ts", "--check");
    expect([code, err]).toEqual([
      1,
      "plan.ts is not what plan.json makes. Run: npx polder types plan.json --out plan.ts\n",
    ]);
    expect(await read("plan.ts")).toBe("// changed by hand\n");
  });

  it("says where a plan is wrong, all of it at once, and makes nothing", async () => {
    await keep("plan.json", {
      evnts: {},
      events: {
        "Order Completed": {
          propertys: {},
          properties: {
            a: { type: "text" },
            b: { type: "string", enum: ["x", 3] },
            "c d": { type: "array", items: { type: "object", properties: { sku: {} }, required: ["skus"] } },
            e: "string",
            f: { type: [] },
            g: { enum: [] },
            h: { enum: [{}] },
          },
          required: "a",
          additionalProperties: {},
          description: 3,
        },
        "": {},
        [`long ${"x".repeat(200)}`]: {},
      },
      traits: [],
    });
    const { code, err } = await run("plan.json", "--out", "plan.ts");
    expect(code).toBe(1);
    expect(err.split("\n").map((line) => line.trim())).toEqual([
      "plan.json cannot be used, and nothing was made of it:",
      "evnts is no term of a plan: did you mean `events`?",
      'events["Order Completed"].propertys is no term of a plan: did you mean `properties`?',
      'events["Order Completed"].description must be a text.',
      'events["Order Completed"].required must be a list, not a text.',
      'events["Order Completed"].additionalProperties must be true or false.',
      'events["Order Completed"].properties.a.type has "text", which is no type: use one of string, number, integer, boolean, array, object, null.',
      'events["Order Completed"].properties.b.enum has 3, which is not of the type string.',
      'events["Order Completed"].properties["c d"].items.required[0] names no property: did you mean `sku`?',
      'events["Order Completed"].properties["c d"].items.properties.sku.type is missing: one of string, number, integer, boolean, array, object, null.',
      'events["Order Completed"].properties.e must be an object, not a text.',
      'events["Order Completed"].properties.e.type is missing: one of string, number, integer, boolean, array, object, null.',
      'events["Order Completed"].properties.f.type must name at least one of string, number, integer, boolean, array, object, null.',
      'events["Order Completed"].properties.g.enum must have at least one value.',
      'events["Order Completed"].properties.h.enum has an object: use texts, numbers, true, false and null.',
      'events[""] has no name.',
      expect.stringMatching(/^events\["long x{200}"\] has a name of 205 characters: the collector takes 200\.$/),
      "traits must be an object, not a list.",
      "",
    ]);
    await expect(read("plan.ts")).rejects.toThrow("ENOENT");
  });

  it.each([
    [
      "{\n  events: {} }",
      "plan.json cannot be used, and nothing was made of it:\n  It is not JSON: look at line 2, column 3.\n",
    ],
    [
      "[]",
      "plan.json cannot be used, and nothing was made of it:\n  It must be an object, not a list.\n  events is missing: an object with each event under its name.\n",
    ],
    [
      '{"rules":{"events":[{"name":"A"},{"name":"A"}]}}',
      expect.stringContaining("rules.events[1].name is used by an event before this one."),
    ],
  ])("refuses %s", async (text, err) => {
    await keep("plan.json", text);
    expect(await run("plan.json")).toEqual({ code: 1, out: "", err });
  });

  it("refuses a plan without an end", async () => {
    await keep(
      "plan.json",
      `{"events":{"A":{"properties":{"a":${'{"type":"array","items":'.repeat(50)}{"type":"null"}${"}".repeat(50)}}}}}`,
    );
    expect((await run("plan.json")).err).toMatch(/nested more than 20 deep\.\n$/);
  });

  it("says what to do without a plan, or a place for the types", async () => {
    expect(await run()).toMatchObject({ code: 2, err: expect.stringMatching(/Say which plan/) });
    expect(await run("plan.json")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^There is no plan\.json\. Give the path/),
    });
    await keep("plan.json", shopPlan);
    expect(await run("plan.json", "--check")).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--check needs the file/),
    });
    expect(await run("plan.json", "--out", "none/plan.ts")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^none\/plan\.ts cannot be written \(ENOENT\)\. Is the folder there\?/),
    });
  });
});

describe("the compiler", () => {
  const callers = `import { createPolder } from "@polder/browser";
import type { Plan } from "./plan.ts";
const polder = createPolder<Plan>({ site: "pk_1", host: "https://data.example", capture: [] });
const order = { order_id: "7", total: 1, currency: "EUR" } as const;
`;

  it("lets through what is in the plan", async () => {
    await keep("plan.json", shopPlan);
    await run("plan.json", "--out", "plan.ts");
    await keep(
      "good.ts",
      `${callers}polder.track("Order Completed", order);
polder.track("Order Completed", { ...order, at: new Date(), coupon: undefined, products: [{ sku: "a" }], extra: { any: 1 } });
polder.track("Order Completed", { ...order, at: "2026-11-22", coupon: null, "gift wrap": true }, { timestamp: new Date() });
polder.track("Chat Opened");
polder.track("Chat Opened", {});
polder.track("Searched");
polder.track("Searched", { query: "socks", page: 2 });
`,
    );
    expect(await compile("good.ts")).toEqual([]);
  });

  it("refuses every call that the plan does not have", async () => {
    await keep("plan.json", shopPlan);
    await run("plan.json", "--out", "plan.ts");
    const bad = [
      ['polder.track("Order Complete", order);', "TS2345"],
      ['polder.track("Order Completed", { order_id: "7", total: 1 });', "TS2741"],
      ['polder.track("Order Completed", { ...order, total: "1" });', "TS2322"],
      ['polder.track("Order Completed", { ...order, currency: "GBP" });', "TS2322"],
      ['polder.track("Order Completed", { ...order, cupon: "X" });', "TS2561"],
      ['polder.track("Order Completed", { ...order, at: 3 });', "TS2322"],
      ['polder.track("Order Completed", { ...order, products: [{ quantity: 1 }] });', "TS2741"],
      ['polder.track("Chat Opened", { on: "home" });', "TS2322"],
      ['polder.track("Searched", { query: 7 });', "TS2322"],
      ['polder.track("Order Completed");', "TS2554"],
    ];
    await keep("bad.ts", callers + bad.map(([call]) => `${call}\n`).join(""));
    expect(await compile("bad.ts")).toEqual(bad.map(([, code], index) => `bad.ts:${index + 5} ${code}`));
  });

  it("knows window.polder with --global, and only then", async () => {
    await keep("plan.json", shopPlan);
    await keep(
      "tag.ts",
      'import "./plan.ts";\nwindow.polder.track("Chat Opened");\npolder.track("Chat Opened");\npolder.track("Nothing");\n',
    );
    await run("plan.json", "--out", "plan.ts", "--global");
    expect(await read("plan.ts")).toContain("npx polder types plan.json --out plan.ts --global");
    expect(await compile("tag.ts")).toEqual(["tag.ts:4 TS2345"]);
    await run("plan.json", "--out", "plan.ts");
    expect(await compile("tag.ts")).toEqual(["tag.ts:2 TS2339", "tag.ts:3 TS2304", "tag.ts:4 TS2304"]);
  });

  it("sees in hostile names and descriptions nothing but names and comments", async () => {
    const hostile = [
      "*/ declare const injected: 1; /*",
      "\"'`${injected}\\",
      "a\nb\r\u2028c\u2029",
      "__proto__",
      "constructor",
      "\u202egnp\u0000",
      "\ud800 lone",
      "@deprecated */ export const injected = 1;",
    ];
    // Every character that a line, a comment, a string or a reader could trip over.
    const codes = [
      [0, 0xff],
      [0x2000, 0x206f],
      [0xd800, 0xd801],
      [0xfeff, 0xfeff],
    ].flatMap(([from = 0, to = 0]) => Array.from({ length: to - from + 1 }, (_, at) => from + at));
    const unique = [...hostile, ...codes.map((code) => `a${String.fromCharCode(code)}b`)];
    const properties = Object.fromEntries(unique.map((name) => [name, { enum: [name], description: name }]));
    // Object.fromEntries makes an own property of `__proto__`, as JSON does.
    await keep("plan.json", {
      events: Object.fromEntries(
        unique.map((name) => [name, { description: name, properties, required: unique }]).slice(0, 40),
      ),
      traits: { properties },
    });
    expect(await run("plan.json", "--out", "plan.ts")).toMatchObject({ code: 0 });
    const text = await read("plan.ts");
    // oxlint-disable-next-line no-control-regex -- what must not be in the file
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u2028\u2029\u202a-\u202e]/);
    await keep(
      "names.ts",
      `import type { Plan, Traits } from "./plan.ts";
export const event: keyof Plan = ${JSON.stringify(unique[0])};
export const traits: (keyof Traits)[] = ${JSON.stringify(unique)};
export const values: Required<Traits> = JSON.parse("{}");
${unique.map((name) => `values[${JSON.stringify(name)}] = ${JSON.stringify(name)};`).join("\n")}
`,
    );
    await keep(
      "wrong.ts",
      'import type { Traits } from "./plan.ts";\nexport const wrong: keyof Traits = "injected";\nexport const nothing = injected;\n',
    );
    expect(await compile("names.ts", "wrong.ts")).toEqual(["wrong.ts:2 TS2322", "wrong.ts:3 TS2304"]);
  });
});

it("publishes the schema of a plan (written by this test with -u)", async () => {
  const file = join(root, "docs/tracking-plan.schema.json");
  await expect(`${JSON.stringify(trackingPlanJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(file);
});
