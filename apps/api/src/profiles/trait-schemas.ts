import type { ComputedTrait } from "@polder/core";
import * as v from "valibot";
import { count, text, time } from "../schemas.ts";

const definition = v.pipe(
  v.custom<ComputedTrait>((value) => typeof value === "object" && value !== null, "A definition is an object"),
  v.description("As docs/computed-trait.schema.json says"),
);

const stated = (about: string) => v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(500), v.description(about));

export const decidedBy = v.object(
  { actor: stated("Who decides"), reason: stated("Why") },
  "Send an object with actor and reason",
);

export const newTrait = v.object(
  { definition: v.unknown(), ...decidedBy.entries },
  "Send an object with definition, actor and reason",
);

export const traitAnswer = v.object({
  name: text,
  version: v.pipe(count, v.description("Number of the change, from 1")),
  type: v.picklist(["number", "text", "list"]),
  definition,
  at: time,
  actor: text,
  reason: text,
});
export type TraitAnswer = v.InferOutput<typeof traitAnswer>;

export const traitList = v.object({ site: text, traits: v.array(traitAnswer) });

export const traitHistory = v.object({
  site: text,
  name: text,
  versions: v.pipe(
    v.array(
      v.object({
        version: count,
        definition: v.pipe(v.nullable(definition), v.description("null: removed by this version")),
        at: time,
        actor: text,
        reason: text,
      }),
    ),
    v.description("Newest first"),
  ),
});
export type TraitHistory = v.InferOutput<typeof traitHistory>;

export const traitFaults = v.object({
  code: text,
  message: text,
  docs: text,
  faults: v.array(v.object({ path: v.pipe(text, v.description("As where[0].property")), message: text })),
});

export const traitParameter = v.object({
  name: v.pipe(
    v.string(),
    v.regex(/^[a-z][a-z0-9_]{0,63}$/, "A name is up to 64 small letters, digits and _, and begins with a letter"),
    v.description("Name of the computed trait"),
  ),
});
