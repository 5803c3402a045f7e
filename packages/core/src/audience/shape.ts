import { hasLoneSurrogate, type JsonObject } from "@polder/protocol";
import { nearestName } from "../config/nearest-name.ts";

/**
 * A description of a JSON value, from which the parser and the published schema are made. Beside the rules of the
 * configuration it knows forms that differ by which key is there, and forms within themselves.
 */
export type Shape =
  | TextShape
  | NumberShape
  | BooleanShape
  | ScalarShape
  | OneOfShape
  | ListShape
  | ObjectShape
  | FormsShape;

interface Common {
  about: string;
}
export interface TextShape extends Common {
  type: "text";
  maxLength?: number;
  isNotEmpty?: true;
  /** What is wrong with a text, as the end of a sentence; undefined when nothing. */
  check?: (text: string) => string | undefined;
}
export interface NumberShape extends Common {
  type: "number";
  min: number;
  max: number;
  isWhole?: true;
}
interface BooleanShape extends Common {
  type: "boolean";
}
/** A text, a number or a truth. */
interface ScalarShape extends Common {
  type: "scalar";
  maxLength: number;
}
interface OneOfShape extends Common {
  type: "one_of";
  values: readonly string[];
}
interface ListShape extends Common {
  type: "list";
  of: Shape;
  min: number;
  max: number;
  /** A text alone may stand without its list. */
  orOne?: true;
  /** What is wrong with the items together; undefined when nothing. */
  check?: (items: readonly unknown[]) => string | undefined;
}
export interface ObjectShape extends Common {
  type: "object";
  /** Shared by name in the published schema. */
  name?: string;
  fields: { readonly [name: string]: Shape };
  required?: readonly string[];
  /** How many fields there may be. */
  count?: { min: number; max: number };
  /** At least one of these. */
  needsOneOf?: readonly string[];
  /** What is wrong with the fields together; undefined when nothing. */
  check?: (value: Loose) => string | undefined;
}
/** Exactly one of the forms, told by the key that is its name. */
export interface FormsShape extends Common {
  type: "forms";
  name: string;
  /** What one of these is called in a message. */
  noun: string;
  /** A text that stands for a form of its own. */
  orText?: string;
  /** A function, since forms may hold one another. */
  forms: () => { readonly [key: string]: ObjectShape };
}

export interface Fault {
  /** Where, as `people.all[0].within`; "" for the whole. */
  path: string;
  /** What is wrong and what to do, the rest of a sentence that begins with the place. */
  message: string;
}

type Loose = { readonly [name: string]: unknown };

/** How deep conditions may be within one another. */
export const maxDepth = 12;

/** The value, when nothing was added to `faults`. Never throws, whatever the value. */
export function readShape(shape: Shape, value: unknown, path: string, faults: Fault[], depth = 0): unknown {
  const complain = (message: string): undefined => void faults.push({ path, message });
  switch (shape.type) {
    case "text":
      return typeof value === "string"
        ? readText(shape, value, complain)
        : complain(`must be a text, not ${kindOf(value)}.`);
    case "number":
      return readNumber(shape, value, complain);
    case "boolean":
      return typeof value === "boolean" ? value : complain(`must be true or false, not ${kindOf(value)}.`);
    case "scalar":
      if (typeof value === "string") return readText({ ...shape, type: "text", isNotEmpty: true }, value, complain);
      if (typeof value === "boolean") return value;
      return typeof value === "number" && Number.isFinite(value)
        ? value
        : complain(`must be a text, a number, true or false, not ${kindOf(value)}.`);
    case "one_of":
      return typeof value === "string" && shape.values.includes(value) ? value : complain(oneOf(value, shape.values));
    case "list":
      if (shape.orOne === true && typeof value === "string") return readShape(shape.of, value, path, faults, depth);
      return Array.isArray(value)
        ? readList(shape, value, path, faults, depth)
        : complain(`must be ${shape.orOne === true ? "a text or a list of these" : "a list"}, not ${kindOf(value)}.`);
    case "object":
      return isObject(value)
        ? readObject(shape, value, path, faults, depth)
        : complain(`must be an object, not ${kindOf(value)}.`);
    case "forms":
      if (shape.orText !== undefined && value === shape.orText) return value;
      if (depth >= maxDepth) return complain(`is too deep: conditions may be ${maxDepth} deep within one another.`);
      return isObject(value)
        ? readForm(shape, value, path, faults, depth + 1)
        : complain(
            `must be ${shape.orText === undefined ? "" : `${shape.orText}, or `}${shape.noun}, an object${keysOfFew(shape)}, not ${kindOf(value)}.`,
          );
  }
}

/** A condition can be many things; what can be two is said at once. */
function keysOfFew({ forms }: FormsShape): string {
  const keys = Object.keys(forms());
  return keys.length > 2 ? "" : ` with ${keys.join(" or ")}`;
}

type Complain = (message: string) => undefined;

function readText(shape: TextShape, text: string, complain: Complain): string | undefined {
  if (shape.isNotEmpty === true && text === "") return complain("must not be empty.");
  if (shape.maxLength !== undefined && text.length > shape.maxLength)
    return complain(`must have at most ${shape.maxLength} characters; it has ${text.length}.`);
  if (hasLoneSurrogate(text) || text.includes("\0"))
    return complain("holds a character that cannot be stored (half of a surrogate pair, or NUL): write it anew.");
  const fault = shape.check?.(text);
  return fault === undefined ? text : complain(fault);
}

function readNumber(shape: NumberShape, value: unknown, complain: Complain): unknown {
  const isIn =
    typeof value === "number" &&
    value >= shape.min &&
    value <= shape.max &&
    (shape.isWhole !== true || Number.isInteger(value));
  if (isIn) return value;
  const kind = shape.isWhole === true ? "a whole number" : "a number";
  return complain(`must be ${kind} from ${shape.min} to ${shape.max}.`);
}

function readList(shape: ListShape, list: readonly unknown[], path: string, faults: Fault[], depth: number): unknown {
  if (list.length < shape.min) faults.push({ path, message: `needs at least ${shape.min === 1 ? "one" : shape.min}.` });
  if (list.length > shape.max) {
    faults.push({ path, message: `may have at most ${shape.max}; it has ${list.length}.` });
    return undefined;
  }
  const before = faults.length;
  const items = list.map((item, index) => readShape(shape.of, item, `${path}[${index}]`, faults, depth));
  const fault = faults.length > before ? undefined : shape.check?.(items);
  if (fault !== undefined) faults.push({ path, message: fault });
  return items;
}

function readObject(shape: ObjectShape, object: Loose, path: string, faults: Fault[], depth: number): unknown {
  const known = Object.keys(shape.fields);
  const before = faults.length;
  for (const name of Object.keys(object))
    if (!known.includes(name)) faults.push({ path: join(path, name), message: unknownName(name, known) });
  const entries: [string, unknown][] = [];
  for (const [name, field] of Object.entries(shape.fields))
    if (Object.hasOwn(object, name) && object[name] !== undefined)
      entries.push([name, readShape(field, object[name], join(path, name), faults, depth)]);
    else if (shape.required?.includes(name) === true)
      faults.push({ path: join(path, name), message: `is missing: ${field.about}` });
  const read = Object.fromEntries(entries);
  // Once something in it is wrong, what it says as a whole is not known.
  if (faults.length > before) return read;
  const fault = missingOneOf(shape, read) ?? shape.check?.(read);
  if (fault !== undefined) faults.push({ path, message: fault });
  return read;
}

function missingOneOf({ needsOneOf }: ObjectShape, read: Loose): string | undefined {
  if (needsOneOf === undefined || needsOneOf.some((name) => name in read)) return undefined;
  return `says nothing: add one of ${needsOneOf.join(", ")}.`;
}

function readForm(shape: FormsShape, object: Loose, path: string, faults: Fault[], depth: number): unknown {
  const forms = shape.forms();
  const keys = Object.keys(forms);
  const given = keys.filter((key) => Object.hasOwn(object, key));
  const [key] = given;
  const form = key === undefined ? undefined : forms[key];
  if (form !== undefined && given.length === 1) return readObject(form, object, path, faults, depth);
  if (given.length > 1) {
    const second = given.filter((name) => form?.fields[name] === undefined);
    // A field of one form may bear the name of another one.
    if (second.length === 0 && form !== undefined) return readObject(form, object, path, faults, depth);
    faults.push({
      path,
      message: `is ${given.length} things at once (${given.join(", ")}): put each in an object of its own, within all or any.`,
    });
    return undefined;
  }
  const meant = Object.keys(object)
    .map((name) => [name, nearestName(name, keys)] as const)
    .find(([, nearest]) => nearest !== undefined);
  const message =
    meant === undefined
      ? `is no ${shape.noun.replace(/^an? /, "")}: it needs one of ${keys.join(", ")}.`
      : `is no ${shape.noun.replace(/^an? /, "")}: did you mean \`${meant[1]}\` by \`${cut(meant[0])}\`?`;
  faults.push({ path, message });
  return undefined;
}

function unknownName(name: string, known: readonly string[]): string {
  const nearest = nearestName(name.slice(0, 100), known);
  return `is not known here: ${nearest === undefined ? `use one of ${known.join(", ")}.` : `did you mean \`${nearest}\`?`}`;
}

function oneOf(value: unknown, values: readonly string[]): string {
  const nearest = typeof value === "string" ? nearestName(value.slice(0, 100), values) : undefined;
  const list = `must be one of ${values.join(", ")}`;
  return nearest === undefined ? `${list}.` : `${list}: did you mean ${nearest}?`;
}

const cut = (name: string): string => (name.length > 100 ? `${name.slice(0, 100)}…` : name);

const isObject = (value: unknown): value is Loose =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function join(path: string, name: string): string {
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) return `${path}[${JSON.stringify(cut(name))}]`;
  return path === "" ? cut(name) : `${path}.${cut(name)}`;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "number") return Number.isFinite(value) ? "a number" : "a number that JSON cannot write";
  return typeof value === "object" ? "an object" : `a ${typeof value === "string" ? "text" : typeof value}`;
}

/** JSON Schema (draft 2020-12) of a shape; named ones go into `defs`, once. */
export function schemaOfShape(shape: Shape, defs: Map<string, JsonObject>): JsonObject {
  const description = shape.about;
  switch (shape.type) {
    case "text":
      return {
        type: "string",
        description,
        ...(shape.isNotEmpty === true && { minLength: 1 }),
        ...(shape.maxLength !== undefined && { maxLength: shape.maxLength }),
      };
    case "number":
      return {
        type: shape.isWhole === true ? "integer" : "number",
        description,
        minimum: shape.min,
        maximum: shape.max,
      };
    case "boolean":
      return { type: "boolean", description };
    case "scalar":
      return { type: ["string", "number", "boolean"], description, minLength: 1, maxLength: shape.maxLength };
    case "one_of":
      return { enum: [...shape.values], description };
    case "list": {
      const items = schemaOfShape(shape.of, defs);
      const list = { type: "array", description, items, minItems: shape.min, maxItems: shape.max };
      return shape.orOne === true ? { description, anyOf: [items, list] } : list;
    }
    case "object":
      return named(shape.name, description, defs, () => objectSchema(shape, defs));
    case "forms":
      return named(shape.name, description, defs, () => ({
        description,
        oneOf: [
          ...(shape.orText === undefined ? [] : [{ const: shape.orText }]),
          ...Object.entries(shape.forms()).map(([key, form]) =>
            objectSchema({ ...form, required: [...new Set([key, ...(form.required ?? [])])] }, defs),
          ),
        ],
      }));
  }
}

function objectSchema(shape: ObjectShape, defs: Map<string, JsonObject>): JsonObject {
  return {
    type: "object",
    description: shape.about,
    additionalProperties: false,
    ...(shape.required !== undefined && { required: [...shape.required] }),
    ...(shape.needsOneOf !== undefined && { anyOf: shape.needsOneOf.map((name) => ({ required: [name] })) }),
    ...(shape.count !== undefined && { minProperties: shape.count.min, maxProperties: shape.count.max }),
    properties: Object.fromEntries(
      Object.entries(shape.fields).map(([name, field]) => [name, schemaOfShape(field, defs)]),
    ),
  };
}

function named(
  name: string | undefined,
  description: string,
  defs: Map<string, JsonObject>,
  make: () => JsonObject,
): JsonObject {
  if (name === undefined) return make();
  if (!defs.has(name)) {
    // Before it is made, since it may hold itself.
    defs.set(name, {});
    defs.set(name, make());
  }
  return { description, $ref: `#/$defs/${name}` };
}
