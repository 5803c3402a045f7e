import type { Field, ObjectShape, PlannedEvent, Shape, ShapeOption, TrackingPlan } from "./tracking-plan.ts";

export interface TypesOptions {
  /** How the file is made again, as typed after the prompt. */
  command: string;
  /** Also declare `window.polder`, for pages with the tag. */
  isGlobal: boolean;
}

/**
 * TypeScript of a plan: `Plan` for `createPolder<Plan>()`, `Traits` when the plan has them. The same plan gives the same text, and no name or
 * description in it, however hostile, becomes anything but a name or a comment.
 */
export function typesOfPlan({ events, traits }: TrackingPlan, { command, isGlobal }: TypesOptions): string {
  const header = [`Made from a tracking plan, not by hand. Change the plan, then run: ${oneLine(command)}`];
  return [
    ...comment(header, ""),
    ...(isGlobal ? ['import type { Polder } from "@polder/browser";'] : []),
    "",
    ...comment(["Every event and what it carries."], ""),
    ...(events.length === 0
      ? ["export type Plan = { [event: string]: never };"]
      : ["export type Plan = {", ...events.flatMap((event) => eventLines(event)), "};"]),
    ...(traits === undefined
      ? []
      : ["", ...comment(["What is known of a visitor."], ""), `export type Traits = ${objectText(traits, "")};`]),
    ...(isGlobal ? globalLines : []),
    "",
  ].join("\n");
}

const globalLines = [
  "",
  "declare global {",
  "  interface Window {",
  "    polder: Polder<Plan>;",
  "  }",
  "  var polder: Polder<Plan>;",
  "}",
];

const eventLines = ({ name, properties, ...about }: PlannedEvent): string[] => [
  ...comment(wordsOf(about), "  "),
  `  ${keyText(name)}: ${properties.fields.length === 0 && !properties.isOpen ? noProperties : objectText(properties, "  ")};`,
];

// `{}` would take any object.
const noProperties = "{ [property: string]: never }";

function objectText({ fields, isOpen }: ObjectShape, indent: string): string {
  if (fields.length === 0) return isOpen ? "{ [property: string]: unknown }" : noProperties;
  const inner = `${indent}  `;
  const lines = fields.flatMap((field) => fieldLines(field, inner));
  if (isOpen) lines.push(`${inner}[property: string]: unknown;`);
  return `{\n${lines.join("\n")}\n${indent}}`;
}

const fieldLines = ({ name, isRequired, shape, ...about }: Field, indent: string): string[] => {
  const type = shapeText(shape, indent);
  // What is undefined is not sent, so a caller may pass it, whatever its compiler's settings.
  return [
    ...comment(wordsOf(about), indent),
    `${indent}${keyText(name)}${isRequired ? `: ${type}` : `?: ${type} | undefined`};`,
  ];
};

const shapeText = (shape: Shape, indent: string): string =>
  [...new Set(shape.map((option) => optionText(option, indent)))].join(" | ");

function optionText(option: ShapeOption, indent: string): string {
  switch (option.kind) {
    case "time":
      return "Date | string";
    case "literal":
      return typeof option.value === "string" ? quoted(option.value) : String(option.value);
    case "array":
      return `ReadonlyArray<${shapeText(option.items, indent)}>`;
    case "object":
      return objectText(option.object, indent);
    default:
      return option.kind;
  }
}

const wordsOf = ({ description, isDeprecated }: { description: string; isDeprecated: boolean }): string[] => [
  ...description.trim().split(/\r\n|[\n\r\u2028\u2029]/),
  ...(isDeprecated ? ["@deprecated"] : []),
];

/** None when there is nothing to say. */
function comment(words: readonly string[], indent: string): string[] {
  const lines = words
    // Nothing of it may end the comment, and no editor should show what is not there.
    .map((line) => oneLine(line).replaceAll("*/", "*\\/").trimEnd())
    .filter((line, index) => line !== "" || index > 0);
  if (lines.length === 0) return [];
  if (lines.length === 1) return [`${indent}/** ${lines[0]} */`];
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`.trimEnd()), `${indent} */`];
}

/** Without characters that break a line, hide text or turn its direction. */
const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ");

const keyText = (name: string): string =>
  /^[A-Za-z_$][\w$]*$/.test(name) && name !== "__proto__" ? name : quoted(name);

/** JSON's way to write a text is TypeScript's too; what cannot be seen is written by its number. */
const quoted = (text: string): string =>
  JSON.stringify(text).replace(/[\u007f\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`)
      .join(""),
  );
