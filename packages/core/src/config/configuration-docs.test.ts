import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { configJsonSchema } from "./config-schema.ts";

// The page and the schema are written by this test (`npx vitest run -u packages/core`), from the one description that the parser uses.
const docs = fileURLToPath(new URL("../../../../docs/", import.meta.url));

interface Schema {
  type?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  required?: string[];
  properties?: { [name: string]: Schema };
  items?: Schema;
  additionalProperties?: Schema | boolean;
}

const kindOf = ({ type, enum: values, items, minimum, maximum, additionalProperties }: Schema): string => {
  if (typeof additionalProperties === "object" && additionalProperties.enum !== undefined)
    return `object of ${kindOf(additionalProperties)}`;
  if (values) return values.map((value) => `\`${String(value)}\``).join(", ");
  if (items) return items.type === "object" ? "list" : `list of ${kindOf(items)}`;
  const range = minimum === undefined || maximum === undefined ? "" : ` from ${minimum} to ${maximum}`;
  return `${type === "string" ? "text" : type}${range}`;
};

function rowsOf(schema: Schema, path: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const isNeeded = schema.required?.includes(name) ?? false;
    const place = path === "" ? name : `${path}.${name}`;
    const otherwise = isNeeded
      ? "**needed**"
      : field.default === undefined
        ? "–"
        : `\`${JSON.stringify(field.default)}\``;
    const row = `| \`${place}\` | ${kindOf(field)} | ${otherwise} | ${(field.description ?? "").replaceAll("|", "\\|")} |`;
    const map = typeof field.additionalProperties === "object" ? field.additionalProperties : undefined;
    return [
      row,
      ...rowsOf(field, place),
      ...(field.items ? rowsOf(field.items, `${place}[]`) : []),
      ...(map ? rowsOfMap(map, `${place}.<name>`) : []),
    ];
  });
}

/** A map of maps has a row for what its maps hold. */
const rowsOfMap = (values: Schema, place: string): string[] =>
  values.properties === undefined && typeof values.additionalProperties === "object"
    ? rowsOfMap(values.additionalProperties, `${place}.<name>`)
    : rowsOf(values, place);

it("stand in docs/configuration.md", async () => {
  const page = `# polder.config.json

Which sites there are, who may send to them and why what they send may be kept. \`npx polder init\` writes one; \`npx polder key\` changes its keys. A change is picked
up without a restart, but for two sizes that are read at the start; a file with a fault stops the start, or is left unused while the one before stays, and the log says where the fault is and why.
Addresses and secrets are in the environment: see [the command line](../apps/polder/README.md) and [deploy](../deploy/README.md).

**Basis.** An event is kept when it carries a consent that allows it. A server's event has no banner to ask: its key says instead on which basis it may be kept
(\`contract\` for orders and accounts), for which purposes, and why. A write key gets a basis only where consent is asked for elsewhere, as by a banner that
loads the client after a yes. A key without a basis keeps nothing that carries no consent.

An editor checks the file against [polder.config.schema.json](polder.config.schema.json).

| setting | what | default | |
|---|---|---|---|
${rowsOf(configJsonSchema() as Schema, "").join("\n")}
`;
  await expect(page).toMatchFileSnapshot(`${docs}configuration.md`);
});

it("are published as a JSON schema", async () => {
  await expect(`${JSON.stringify(configJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
    `${docs}polder.config.schema.json`,
  );
});
