import { findJsonFault, nearestName } from "@polder/core";

/** What may be sent: events by their names, and what is known of visitors. */
export interface TrackingPlan {
  events: readonly PlannedEvent[];
  /** Undefined when the plan says nothing about them. */
  traits: ObjectShape | undefined;
}

interface Documented {
  description: string;
  isDeprecated: boolean;
}

export interface PlannedEvent extends Documented {
  name: string;
  properties: ObjectShape;
}

export interface ObjectShape {
  fields: readonly Field[];
  /** Whether there may be others than the fields. */
  isOpen: boolean;
}

export interface Field extends Documented {
  name: string;
  isRequired: boolean;
  shape: Shape;
}

/** Any of these. */
export type Shape = readonly ShapeOption[];
export type ShapeOption =
  | { kind: "string" | "time" | "number" | "boolean" | "null" | "unknown" }
  | { kind: "literal"; value: Literal }
  | { kind: "array"; items: Shape }
  | { kind: "object"; object: ObjectShape };
type Literal = string | number | boolean | null;

export interface PlanProblem {
  /** Where, as `events["Order Completed"].properties.total.type`; "" for the whole. */
  path: string;
  /** What is wrong and what to do, a sentence that goes on from the path. */
  message: string;
}

export type PlanResult = { ok: true; plan: TrackingPlan } | { ok: false; problems: readonly PlanProblem[] };

export const valueTypes = ["string", "number", "integer", "boolean", "array", "object", "null"] as const;
type ValueType = (typeof valueTypes)[number];

/** JSON Schema terms that a property may have. Those that no type can express are taken for people and other tools. */
export const propertyTerms = [
  "type",
  "enum",
  "const",
  "description",
  "format",
  "deprecated",
  "items",
  "properties",
  "required",
  "additionalProperties",
] as const;
export const propertyAnnotations = [
  "title",
  "default",
  "examples",
  "pattern",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "multipleOf",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "uniqueItems",
] as const;
export const objectTerms = ["description", "deprecated", "properties", "required", "additionalProperties"] as const;
export const planTerms = ["$schema", "description", "events", "traits"] as const;

/** The collector refuses events with longer names. */
export const maxNameLength = 200;
// A plan made by a program could nest without end.
const maxDepth = 20;

/**
 * Reads a plan of ours, or an export of Segment's (`rules.events`), or says everything that is wrong with it at once. Never throws.
 * In an export, terms that are none of ours are passed over: it holds much that is not about types.
 */
export function parseTrackingPlan(text: string): PlanResult {
  const json = text.replace(/^\ufeff/, "");
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    const before = json.slice(0, findJsonFault(json)).split("\n");
    const place = `line ${before.length}, column ${(before.at(-1) ?? "").length + 1}`;
    return { ok: false, problems: [{ path: "", message: `is not JSON: look at ${place}.` }] };
  }
  const problems: PlanProblem[] = [];
  const isExport = isObject(value) && Object.hasOwn(value, "rules");
  const reader = createReader(problems, !isExport);
  const plan = isExport ? readExport(value as Loose, reader) : readOwn(value, reader);
  return problems.length === 0 ? { ok: true, plan } : { ok: false, problems };
}

type Loose = { readonly [name: string]: unknown };
type Reader = ReturnType<typeof createReader>;

function readOwn(value: unknown, { objectAt, complain, refuseUnknown, event, members }: Reader): TrackingPlan {
  const plan = objectAt(value, "");
  refuseUnknown(plan, planTerms, "");
  if (plan["events"] === undefined) complain("events", "is missing: an object with each event under its name.");
  const events = Object.entries(objectAt(plan["events"] ?? {}, "events")).map(([name, item]) =>
    event(name, item, join("events", name), join("events", name)),
  );
  const traits = plan["traits"];
  if (traits === undefined) return { events, traits: undefined };
  const object = objectAt(traits, "traits");
  refuseUnknown(object, objectTerms, "traits");
  return { events, traits: members(object, "traits", 0) };
}

/** Segment keeps a JSON schema of the whole message for each event; what we type is in its `properties.properties`. */
function readExport(value: Loose, { objectAt, listAt, complain, event, members }: Reader): TrackingPlan {
  const rules = objectAt(value["rules"], "rules");
  const seen = new Set<string>();
  const events = listAt(rules["events"] ?? [], "rules.events").map((item, index) => {
    const path = `rules.events[${index}]`;
    const { name, description, rules: schema } = objectAt(item, path);
    const [, at, properties] = partOf(schema, `${path}.rules`, "properties");
    if (typeof name !== "string") complain(`${path}.name`, "must be the name of the event, a text.");
    const text = String(name);
    if (seen.has(text)) complain(`${path}.name`, "is used by an event before this one.");
    seen.add(text);
    const closed = properties === undefined ? { additionalProperties: true } : objectAt(properties, at);
    return event(text, { description, ...closed }, `${path}.name`, at);
  });
  const [, at, traits] = partOf(rules["identify"], "rules.identify", "traits");
  return { events, traits: traits === undefined ? undefined : members(objectAt(traits, at), at, 0) };
}

/** Of a message's schema, that of one of its parts, and where it is. */
const partOf = (schema: unknown, path: string, part: string): [whole: Loose, path: string, part: unknown] => {
  const whole = isObject(schema) ? schema : {};
  const parts = isObject(whole["properties"]) ? whole["properties"] : {};
  return [whole, `${path}.properties.${part}`, Object.hasOwn(parts, part) ? parts[part] : undefined];
};

function createReader(problems: PlanProblem[], isStrict: boolean) {
  const complain = (path: string, message: string): void => void problems.push({ path, message });

  const objectAt = (value: unknown, path: string): Loose => {
    if (isObject(value)) return value;
    complain(path, `must be an object, not ${kindOf(value)}.`);
    return {};
  };
  const listAt = (value: unknown, path: string): readonly unknown[] => {
    if (Array.isArray(value)) return value;
    complain(path, `must be a list, not ${kindOf(value)}.`);
    return [];
  };

  const refuseUnknown = (object: Loose, known: readonly string[], path: string): void => {
    if (!isStrict) return;
    for (const name of Object.keys(object)) {
      if (known.includes(name)) continue;
      const nearest = nearestName(name, known);
      const hint = nearest === undefined ? `use one of ${known.join(", ")}.` : `did you mean \`${nearest}\`?`;
      complain(join(path, name), `is no term of a plan: ${hint}`);
    }
  };

  const documented = (object: Loose, path: string): Documented => {
    const { description = "", deprecated = false } = object;
    if (typeof description !== "string" && description !== null) complain(join(path, "description"), "must be a text.");
    if (typeof deprecated !== "boolean") complain(join(path, "deprecated"), "must be true or false.");
    return { description: typeof description === "string" ? description : "", isDeprecated: deprecated === true };
  };

  const event = (name: string, value: unknown, namePath: string, path: string): PlannedEvent => {
    const object = objectAt(value, path);
    refuseUnknown(object, objectTerms, path);
    if (name.trim() === "") complain(namePath, "has no name.");
    if (name.length > maxNameLength)
      complain(namePath, `has a name of ${name.length} characters: the collector takes ${maxNameLength}.`);
    return { name, ...documented(object, path), properties: members(object, path, 0) };
  };

  /** `properties`, `required` and `additionalProperties` of an object. */
  const members = (object: Loose, path: string, depth: number): ObjectShape => {
    const { properties = {}, required = [], additionalProperties = false } = object;
    const fields = Object.entries(objectAt(properties, join(path, "properties")));
    const names = new Set(fields.map(([name]) => name));
    const needed = listAt(required, join(path, "required"));
    needed.forEach((name, index) => {
      if (typeof name === "string" && names.has(name)) return;
      const nearest = typeof name === "string" ? nearestName(name, [...names]) : undefined;
      const hint = nearest === undefined ? "." : `: did you mean \`${nearest}\`?`;
      complain(`${join(path, "required")}[${index}]`, `names no property${hint}`);
    });
    if (isStrict && typeof additionalProperties !== "boolean")
      complain(join(path, "additionalProperties"), "must be true or false.");
    return {
      fields: fields.map(([name, value]) => {
        const at = join(join(path, "properties"), name);
        const given = objectAt(value, at);
        return { name, ...documented(given, at), isRequired: needed.includes(name), shape: shape(given, at, depth) };
      }),
      isOpen: additionalProperties !== false,
    };
  };

  const shape = (object: Loose, path: string, depth: number): Shape => {
    refuseUnknown(object, [...propertyTerms, ...propertyAnnotations], path);
    if (depth > maxDepth) {
      complain(path, `is nested more than ${maxDepth} deep.`);
      return [];
    }
    const types = typesAt(object, path);
    const values = Object.hasOwn(object, "const") ? [object["const"]] : object["enum"];
    if (values !== undefined) return literals(values, types, path, Object.hasOwn(object, "const") ? "const" : "enum");
    return types.map((type): ShapeOption => {
      switch (type) {
        case "string":
          return { kind: object["format"] === "date-time" ? "time" : "string" };
        case "integer":
          return { kind: "number" };
        case "array":
          return { kind: "array", items: itemsAt(object["items"], join(path, "items"), depth) };
        case "object":
          // Without a word about them there may be any.
          return object["properties"] === undefined
            ? { kind: "object", object: { fields: [], isOpen: true } }
            : { kind: "object", object: members(object, path, depth + 1) };
        default:
          return { kind: type };
      }
    });
  };

  const itemsAt = (value: unknown, path: string, depth: number): Shape =>
    value === undefined ? [{ kind: "unknown" }] : shape(objectAt(value, path), path, depth + 1);

  const typesAt = ({ type, ...rest }: Loose, path: string): readonly (ValueType | "unknown")[] => {
    if (type === undefined) {
      const isTold = Object.hasOwn(rest, "enum") || Object.hasOwn(rest, "const");
      if (isStrict && !isTold) complain(join(path, "type"), `is missing: one of ${valueTypes.join(", ")}.`);
      return ["unknown"];
    }
    const given: readonly unknown[] = Array.isArray(type) ? type : [type];
    if (given.length === 0) complain(join(path, "type"), `must name at least one of ${valueTypes.join(", ")}.`);
    const known = given.filter((name): name is ValueType => valueTypes.includes(name as ValueType));
    for (const name of given) {
      if (known.includes(name as ValueType)) continue;
      const nearest = typeof name === "string" ? nearestName(name, valueTypes) : undefined;
      const hint = nearest === undefined ? `use one of ${valueTypes.join(", ")}.` : `did you mean \`${nearest}\`?`;
      complain(join(path, "type"), `has ${JSON.stringify(name)}, which is no type: ${hint}`);
    }
    return [...new Set(known)];
  };

  const literals = (
    values: unknown,
    types: readonly (ValueType | "unknown")[],
    path: string,
    term: "enum" | "const",
  ): Shape => {
    const at = join(path, term);
    const list = listAt(values, at);
    if (Array.isArray(values) && list.length === 0) complain(at, "must have at least one value.");
    return [...new Set(list)].map((value): ShapeOption => {
      if (!isLiteral(value)) complain(at, `has ${kindOf(value)}: use texts, numbers, true, false and null.`);
      else if (!types.some((type) => isOfType(value, type)))
        complain(at, `has ${JSON.stringify(value)}, which is not of the type ${types.join(" or ")}.`);
      return { kind: "literal", value: value as Literal };
    });
  };

  return { complain, objectAt, listAt, refuseUnknown, event, members };
}

const isObject = (value: unknown): value is Loose =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isLiteral = (value: unknown): value is Literal =>
  value === null || ["string", "number", "boolean"].includes(typeof value);

const isOfType = (value: Literal, type: ValueType | "unknown"): boolean =>
  type === "unknown" ||
  (type === "null" ? value === null : type === "integer" ? Number.isInteger(value) : typeof value === type);

const kindOf = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "a list"
      : typeof value === "object"
        ? "an object"
        : typeof value === "string"
          ? "a text"
          : typeof value === "undefined"
            ? "nothing"
            : `a ${typeof value}`;

/** As one would write it in JavaScript, so that it can be found in the file. */
const join = (path: string, name: string): string => {
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) return `${path}[${JSON.stringify(name)}]`;
  return path === "" ? name : `${path}.${name}`;
};
