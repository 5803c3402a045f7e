import type { Audience } from "@polder/clickhouse";
import type { AudienceDefinition } from "@polder/core";

/**
 * The audiences that a definition of this one may name: those that are there. An anonymous one would give its people out by a name of another one, so
 * only another anonymous one may stand on it.
 */
export function namableAudiences(
  { id, isAnonymous }: { id: string | undefined; isAnonymous: boolean },
  all: readonly Audience[],
): { audiences: ReadonlyMap<string, AudienceDefinition>; anonymous: ReadonlySet<string> } {
  const others = all.filter(({ audience, state }) => state !== "archived" && audience !== id);
  const hidden = isAnonymous ? [] : others.filter((other) => other.isAnonymous);
  return {
    audiences: new Map(
      others.filter((other) => !hidden.includes(other)).map(({ audience, definition }) => [audience, definition]),
    ),
    anonymous: new Set(hidden.map(({ audience }) => audience)),
  };
}
