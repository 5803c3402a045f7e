import { describe, expect, it } from "vitest";
import { eventFields, eventNeeds } from "./event-fields.ts";
import { eventJsonSchema } from "./event-json-schema.ts";
import { eventTypes } from "./event.ts";
import { openApi } from "./open-api.ts";
import { parseRequest } from "./parse-request.ts";
import { requestErrorCodes } from "./reason.ts";
import { postRoutes } from "./routes.ts";

type Schema = {
  type?: string | string[];
  enum?: unknown[];
  maxLength?: number;
  minimum?: number;
  properties?: { [name: string]: Schema };
};

/** Whether the schema of one known field takes the value: the few words of JSON Schema that ours uses. */
function takes(schema: Schema, value: unknown): boolean {
  if (schema.enum !== undefined) return schema.enum.includes(value);
  if (schema.type !== undefined && ![schema.type].flat().includes(typeName(value))) {
    if (!(typeName(value) === "integer" && [schema.type].flat().includes("number"))) return false;
  }
  if (typeof value === "string" && schema.maxLength !== undefined && value.length > schema.maxLength) return false;
  if (typeof value === "number" && schema.minimum !== undefined && value < schema.minimum) return false;
  if (typeName(value) !== "object") return true;
  return Object.entries(schema.properties ?? {}).every(
    ([name, inner]) =>
      !Object.hasOwn(value as object, name) || takes(inner, (value as { [name: string]: unknown })[name]),
  );
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

describe("the schema of an event", () => {
  const schema = eventJsonSchema() as Schema & { allOf: object[] };

  it("takes in each field what the parser takes, and nothing else", () => {
    const samples = [
      null,
      "text",
      "x".repeat(201),
      0,
      7,
      -1,
      1.5,
      true,
      [],
      {},
      "observed",
      { page: { url: 1 } },
      { page: [] },
      { session: { seq: -1 } },
    ];
    const disagreements: unknown[] = [];
    for (const [name, field] of Object.entries(eventFields)) {
      for (const value of samples) {
        // A schema cannot say what a time is, and the first id of a person is checked elsewhere.
        if (field.kind === "time" && (typeof value === "string" || typeof value === "number")) continue;
        const event = { type: "track", event: "e", userId: "u", [name]: value };
        if (name === "event" && value === null) continue;
        const result = parseRequest(JSON.stringify({ batch: [event] }), "batch");
        const isAccepted = result.ok && result.items[0]?.ok === true;
        const isTaken = takes(schema.properties?.[name] ?? {}, value);
        if (isAccepted !== isTaken) disagreements.push({ name, value, isAccepted });
      }
    }
    expect(disagreements).toEqual([]);
  });

  it("says what each type needs", () => {
    expect(schema.allOf).toHaveLength(eventTypes.flatMap((type) => eventNeeds[type]).length);
    expect(schema.allOf).toContainEqual({
      anyOf: [
        { not: { properties: { type: { const: "identify" } } } },
        { required: ["userId"] },
        { required: ["anonymousId"] },
      ],
    });
  });
});

describe("the OpenAPI document", () => {
  const document = openApi({ serverUrl: "https://data.shop.example" });
  const text = JSON.stringify(document);
  const paths = document.paths as { [path: string]: { post?: { responses: object } } };

  it("has every address that takes events, but for the short forms", () => {
    const documented = Object.keys(paths).filter((path) => JSON.stringify(paths[path]?.post)?.includes("BatchAnswer"));
    const served = Object.keys(postRoutes)
      .filter((path) => path.length > 1)
      .map((path) => `/v1/${path}`);
    expect(documented.toSorted()).toEqual(served.toSorted());
  });

  it("has what every answer means", () => {
    const { responses } = paths["/v1/batch"]?.post ?? { responses: {} };
    expect(Object.keys(responses)).toEqual(["200", "202", "400", "401", "403", "404", "413", "415", "429", "503"]);
    for (const code of requestErrorCodes) expect(JSON.stringify(responses)).toContain(`\`${code}\``);
  });

  it("refers to nothing that is not in it", () => {
    const schemas = Object.keys((document.components as { schemas: object }).schemas);
    const referred = [...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name);
    expect(referred.length).toBeGreaterThan(0);
    expect(schemas).toEqual(expect.arrayContaining(referred));
  });

  it("names the collector", () => {
    expect(document.servers).toEqual([{ url: "https://data.shop.example" }]);
  });
});
