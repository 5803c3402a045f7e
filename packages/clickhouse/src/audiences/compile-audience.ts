import {
  computedTraitType,
  findReferenceFaults,
  type AudienceDefinition,
  type AudienceFault,
  type ComputedTrait,
} from "@polder/core";
import { compileComputedTrait } from "../traits/compile-computed-trait.ts";
import { compileCondition, type ConditionContext } from "./compile-condition.ts";
import { createParameters, type BoundParameters } from "./parameters.ts";
import { createPeopleSets, type PeopleSet, type PeopleSets } from "./people-sets.ts";

export interface AudienceContext {
  site: string;
  now: Date;
  /** IANA zone of the site's days. */
  timezone: string;
  /** By id: those that a definition may name. */
  audiences: ReadonlyMap<string, AudienceDefinition>;
  /** By name. */
  computedTraits: ReadonlyMap<string, ComputedTrait>;
}
export interface CompiledAudience {
  sql: string;
  params: BoundParameters;
}

/** The definition names what is not there, stands on itself, or is too large for one statement. */
export class AudienceError extends Error {
  readonly faults: readonly AudienceFault[];

  constructor(faults: readonly AudienceFault[]) {
    super(faults.map(({ path, message }) => `${path} ${message}`).join("\n"));
    this.name = "AudienceError";
    this.faults = faults;
  }
}

/** A server reads 256 KiB of a statement, and whoever asks puts something around it. */
const maxStatementLength = 200_000;

/**
 * A definition that {@link parseAudience} has let through as one SELECT with one column, `person_id` UInt32: every
 * person of the site that the definition holds for at `now`, once, never 0.
 * @throws {AudienceError}
 */
export function compileAudience(definition: AudienceDefinition, context: AudienceContext): CompiledAudience {
  const { sql, params } = compileAudiences([definition], context);
  return { sql: `SELECT arrayJoin(bitmapToArray(a0)) AS person_id\nFROM (${sql})`, params };
}

/**
 * Several of one site as one SELECT of one row, with the people of each as a bitmap: `a0`, `a1`, … What they have in common is worked out once.
 * @throws {AudienceError}
 */
export function compileAudiences(
  definitions: readonly AudienceDefinition[],
  context: AudienceContext,
): CompiledAudience {
  const faults = definitions.flatMap((definition) => findReferenceFaults(definition, context));
  if (faults.length > 0) throw new AudienceError(faults);
  const now = context.now.getTime();
  const parameters = createParameters({ site: context.site, now });
  const contextWith = (sets: PeopleSets): ConditionContext => {
    const compiled = new Map<string, PeopleSet>();
    const conditionContext: ConditionContext = {
      now,
      timezone: context.timezone,
      parameters,
      sets,
      ...(definitions.length === 1 && { apart: () => contextWith(createPeopleSets()) }),
      audience: (id) => {
        const set = compiled.get(id) ?? compileCondition(context.audiences.get(id)!.people, conditionContext);
        compiled.set(id, set);
        return set;
      },
      computedTrait: (name) => {
        const trait = context.computedTraits.get(name)!;
        return {
          values: parameters.adopt(compileComputedTrait(trait, context)),
          isList: computedTraitType(trait) === "list",
        };
      },
    };
    return conditionContext;
  };
  const sets = createPeopleSets();
  const whole = contextWith(sets);
  const sql = sets.select(definitions.map(({ people }) => compileCondition(people, whole)));
  if (sql.length > maxStatementLength)
    throw new AudienceError([
      { path: "people", message: "is too large, with all the audiences that it stands on: use fewer conditions." },
    ]);
  return { sql, params: parameters.all };
}
