import type { JsonObject } from "@polder/protocol";
import type { AudienceDefinition } from "./audience-definition.ts";
import { audienceShape } from "./audience-shape.ts";
import { readShape, schemaOfShape, type Fault } from "./shape.ts";

export type AudienceFault = Fault;
export type AudienceResult =
  | { ok: true; definition: AudienceDefinition }
  | { ok: false; faults: readonly AudienceFault[] };

const maxFaults = 100;

/** A definition as JSON read it, or everything that is wrong with it at once, each with its place. Never throws. */
export function parseAudience(value: unknown): AudienceResult {
  const faults: AudienceFault[] = [];
  const definition = readShape(audienceShape, value, "", faults) as AudienceDefinition;
  return faults.length === 0 ? { ok: true, definition } : { ok: false, faults: faults.slice(0, maxFaults) };
}

/** JSON Schema (draft 2020-12) of a definition, for editors and other programs. {@link parseAudience} checks all of it, and more. */
export function audienceJsonSchema(): JsonObject {
  const defs = new Map<string, JsonObject>();
  const schema = schemaOfShape(audienceShape, defs);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Audience",
    ...schema,
    $defs: Object.fromEntries(defs),
  };
}
