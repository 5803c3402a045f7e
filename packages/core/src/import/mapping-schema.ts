import type { JsonObject } from "@polder/protocol";
import { schemaOf } from "../config/config-schema.ts";
import { mappingRule } from "./import-mapping.ts";

/** JSON Schema (draft 2020-12) of a mapping, for editors. `parseImportMapping` checks all of it, and more. */
export const importMappingJsonSchema = (): JsonObject => ({
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Mapping of an import",
  ...schemaOf(mappingRule),
});
