import type { Json, JsonObject, PolderEvent } from "@polder/protocol";

const maxPlatforms = 8;
const platformName = /^[a-z][\w-]{0,31}$/i;
/** What the strings of consent platforms are made of, some of them JSON: an address of mail or a sentence is none. Long enough for the longest. */
const platformString = /^[\w.~*+/=:;,|{}"[\]-]{1,8192}$/;

/**
 * What is kept of an event that records a choice: the choice, and what other platforms said word for word (`properties.raw`). The record is not erased
 * with a person, so nothing else that was sent may get into it; where the choice does not allow counting, nor may the page on which it was made.
 */
export function recordOfChoice(event: PolderEvent, mayMeasure: boolean): PolderEvent {
  const { properties, context, ...rest } = event;
  const raw = platformStrings(properties?.["raw"]);
  const { page, campaign, ...others } = context ?? {};
  return {
    ...rest,
    context: mayMeasure ? { ...others, ...(page && { page }), ...(campaign && { campaign }) } : others,
    ...(raw !== undefined && { properties: { raw } }),
  };
}

function platformStrings(raw: Json | undefined): JsonObject | undefined {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return undefined;
  const kept = Object.entries(raw)
    .filter(([name, said]) => platformName.test(name) && typeof said === "string" && platformString.test(said))
    .slice(0, maxPlatforms);
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}
