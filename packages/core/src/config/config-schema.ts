import type { JsonObject } from "@polder/protocol";
import { configRule } from "./config-rule.ts";
import type { Rule } from "./rule.ts";

/** JSON Schema (draft 2020-12) of `polder.config.json`, for editors. {@link parseConfig} checks all of it, and more. */
export function configJsonSchema(): JsonObject {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "polder.config.json",
    ...schemaOf(configRule),
  };
}

/** JSON Schema of what a rule lets through. */
export function schemaOf(rule: Rule): JsonObject {
  const common: JsonObject = {
    description: rule.about,
    ...(rule.default !== undefined && { default: rule.default as JsonObject }),
  };
  switch (rule.type) {
    case "text":
      return { type: "string", ...common, ...(rule.pattern !== undefined && { pattern: rule.pattern.source }) };
    case "number":
      return { type: "integer", ...common, minimum: rule.min, maximum: rule.max };
    case "boolean":
      return { type: "boolean", ...common };
    case "one_of":
      return { enum: [...rule.values], ...common };
    case "list":
      return { type: "array", ...common, items: schemaOf(rule.of), ...(rule.isNotEmpty === true && { minItems: 1 }) };
    case "map":
      return {
        type: "object",
        ...common,
        additionalProperties: schemaOf(rule.of),
        ...(rule.names !== undefined && { propertyNames: { pattern: rule.names.pattern.source } }),
        ...(rule.isNotEmpty === true && { minProperties: 1 }),
      };
    case "object": {
      const fields = Object.entries(rule.fields);
      const required = fields.filter(([, field]) => field.default === undefined && field.optional !== true);
      return {
        type: "object",
        ...common,
        additionalProperties: false,
        required: required.map(([name]) => name),
        properties: Object.fromEntries(fields.map(([name, field]) => [name, schemaOf(field)])),
      };
    }
  }
}
