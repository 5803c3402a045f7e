import { hasLoneSurrogate } from "@polder/protocol";
import { nearestName } from "./nearest-name.ts";
import type { ListRule, MapRule, ObjectRule, Rule, TextRule } from "./rule.ts";

export interface ConfigProblem {
  /** Where, as `sites[0].timezone`; "" for the whole. */
  path: string;
  /** What is wrong and what to do, a sentence. Never repeats a key. */
  message: string;
}

/** The value with defaults filled in, when nothing was added to `problems`. */
export function readByRule(rule: Rule, value: unknown, path: string, problems: ConfigProblem[]): unknown {
  const complain = (message: string): undefined => void problems.push({ path, message });
  switch (rule.type) {
    case "text":
      return typeof value === "string"
        ? readText(rule, value, complain)
        : complain(`must be a text, not ${kindOf(value)}.`);
    case "number":
      return Number.isInteger(value) && (value as number) >= rule.min && (value as number) <= rule.max
        ? value
        : complain(`must be a whole number from ${rule.min} to ${rule.max}.`);
    case "boolean":
      return typeof value === "boolean" ? value : complain(`must be true or false, not ${kindOf(value)}.`);
    case "one_of":
      return rule.values.includes(value as string) ? value : complain(`must be one of ${rule.values.join(", ")}.`);
    case "list":
      return Array.isArray(value)
        ? readList(rule, value, path, problems)
        : complain(`must be a list, not ${kindOf(value)}.`);
    case "map":
    case "object":
      if (!isObject(value)) return complain(`must be an object, not ${kindOf(value)}.`);
      return rule.type === "map" ? readMap(rule, value, path, problems) : readObject(rule, value, path, problems);
  }
}

type Complain = (message: string) => undefined;

function readText(rule: TextRule, text: string, complain: Complain): string | undefined {
  if (rule.pattern !== undefined && !rule.pattern.test(text))
    return complain(`must be ${rule.expected ?? "of another form"}.`);
  if (hasLoneSurrogate(text))
    return complain(
      "holds half of a character (a surrogate without its other half), which cannot be stored: write it anew.",
    );
  const fault = rule.check?.(text);
  return fault === undefined ? text : complain(fault);
}

function readList(rule: ListRule, list: readonly unknown[], path: string, problems: ConfigProblem[]): unknown[] {
  if (list.length === 0 && rule.isNotEmpty === true) problems.push({ path, message: "needs at least one item." });
  return list.map((item, index) => readByRule(rule.of, item, `${path}[${index}]`, problems));
}

function readMap(rule: MapRule, object: Loose, path: string, problems: ConfigProblem[]): Loose {
  if (rule.isNotEmpty === true && Object.keys(object).length === 0)
    problems.push({ path, message: "needs at least one." });
  for (const name of Object.keys(object)) {
    if (rule.names?.pattern.test(name) === false)
      problems.push({
        path: join(path, name),
        message: `is no name that counts here: it must be ${rule.names.expected}.`,
      });
    else {
      const fault = rule.names?.check?.(name);
      if (fault !== undefined) problems.push({ path: join(path, name), message: fault });
    }
  }
  const entries = Object.entries(object).map(([name, item]): [string, unknown] => [
    name,
    readByRule(rule.of, item, join(path, name), problems),
  ]);
  return Object.fromEntries(entries);
}

function readObject(rule: ObjectRule, object: Loose, path: string, problems: ConfigProblem[]): Loose {
  const names = Object.keys(rule.fields);
  for (const name of Object.keys(object)) refuseUnknown(name, names, path, problems);
  const entries: [string, unknown][] = [];
  for (const [name, field] of Object.entries(rule.fields)) {
    const value = Object.hasOwn(object, name) ? object[name] : field.default;
    if (value !== undefined) entries.push([name, readByRule(field, value, join(path, name), problems)]);
    else if (field.optional !== true) problems.push({ path: join(path, name), message: `is missing: ${field.about}` });
  }
  return Object.fromEntries(entries);
}

function refuseUnknown(name: string, known: readonly string[], path: string, problems: ConfigProblem[]): void {
  if (known.includes(name)) return;
  const nearest = nearestName(name, known);
  const hint = nearest === undefined ? `use one of ${known.join(", ")}.` : `did you mean \`${nearest}\`?`;
  problems.push({ path: join(path, name), message: `is no setting: ${hint}` });
}

type Loose = { readonly [name: string]: unknown };

const isObject = (value: unknown): value is Loose =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const join = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
