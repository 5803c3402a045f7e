import {
  maxNameLength,
  objectTerms,
  planTerms,
  propertyAnnotations,
  propertyTerms,
  valueTypes,
} from "./tracking-plan.ts";

type Schema = { readonly [term: string]: unknown };

const text = (description: string): Schema => ({ type: "string", description });
const literal: Schema = { type: ["string", "number", "boolean", "null"] };
const typeName: Schema = { enum: valueTypes };
const members: { readonly [term in (typeof objectTerms)[number]]: Schema } = {
  description: text("Becomes the comment above the name."),
  deprecated: { type: "boolean", description: "Editors strike it through." },
  properties: {
    type: "object",
    description: "What it carries, by name.",
    additionalProperties: { $ref: "#/$defs/property" },
  },
  required: {
    type: "array",
    description: "Names of properties that must always be there.",
    items: { type: "string" },
  },
  additionalProperties: { type: "boolean", description: "Whether others may be there too. Default: false." },
};
const ofProperties: { readonly [term in Exclude<(typeof propertyTerms)[number], keyof typeof members>]: Schema } = {
  type: { description: "One, or a list of them.", oneOf: [typeName, { type: "array", minItems: 1, items: typeName }] },
  enum: { type: "array", description: "The only values there are.", minItems: 1, items: literal },
  const: { ...literal, description: "The only value there is." },
  format: text("`date-time` lets a Date be passed; others are for people and other tools."),
  items: { $ref: "#/$defs/property", description: "What is in an array. Anything when absent." },
};

const object = (terms: Schema, more: Schema = {}): Schema => ({
  type: "object",
  ...more,
  additionalProperties: false,
  properties: terms,
});

/** JSON Schema (draft 2020-12) of a tracking plan, for editors. `parseTrackingPlan` checks all of it, and more. */
export function trackingPlanJsonSchema(): Schema {
  const ofPlan: { readonly [term in (typeof planTerms)[number]]: Schema } = {
    $schema: { type: "string" },
    description: text("For people."),
    events: {
      type: "object",
      description: "What happens, each under the name that `track` is called with.",
      propertyNames: { minLength: 1, maxLength: maxNameLength },
      additionalProperties: { $ref: "#/$defs/object" },
    },
    traits: {
      $ref: "#/$defs/object",
      description: "What is known of a visitor: the type of what `identify` is given.",
    },
  };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Tracking plan",
    ...object(ofPlan, { required: ["events"] }),
    $defs: {
      object: object(members),
      property: object(
        { ...ofProperties, ...members, ...Object.fromEntries(propertyAnnotations.map((name) => [name, true])) },
        { anyOf: [{ required: ["type"] }, { required: ["enum"] }, { required: ["const"] }] },
      ),
    },
  };
}
