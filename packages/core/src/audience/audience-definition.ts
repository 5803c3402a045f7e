import type { Purpose } from "@polder/protocol";
import type { Comparison, NumberComparison } from "./comparison.ts";
import type { EventFilter } from "./event-filter.ts";
import type { Duration, Window } from "./window.ts";

/** Who belongs to an audience. docs/audiences.md says what each condition means, with an example. */
export interface AudienceDefinition {
  $schema?: string;
  description?: string;
  people: Condition;
}

/** Every condition is one of a person, over all that belongs to the person. */
export type Condition =
  | AllCondition
  | AnyCondition
  | NotCondition
  | TraitCondition
  | ComputedTraitCondition
  | EventCondition
  | SequenceCondition
  | SeenCondition
  | NotSeenCondition
  | FirstSeenCondition
  | TouchCondition
  | CountryCondition
  | DeviceCondition
  | KnownCondition
  | ConsentCondition
  | AudienceCondition;

export interface AllCondition {
  all: readonly Condition[];
}
export interface AnyCondition {
  any: readonly Condition[];
}
export interface NotCondition {
  not: Condition;
}
/** The trait as it was stated last, on whichever device. */
export interface TraitCondition extends Comparison {
  trait: string;
}
export interface ComputedTraitCondition extends Comparison {
  computedTrait: string;
}
export interface EventCondition {
  /** A name, or several of which any counts; `*`: whatever happened. */
  event: string | readonly string[];
  where?: readonly EventFilter[];
  within?: Window;
  /** At most one of these four; none: at least once. */
  count?: NumberComparison;
  sum?: Sum;
  first?: OneEvent;
  last?: OneEvent;
}
/** Zero when there is nothing to add up. */
export type Sum = NumberComparison &
  ({ of: "amount"; currency: string } | { of: { property: string }; currency?: string });
/** What the first or the last of the events has to be. */
export interface OneEvent {
  within?: Window;
  where?: readonly EventFilter[];
}
/** One after another, the last at most `within` after the first. */
export interface SequenceCondition {
  sequence: readonly SequenceStep[];
  within: Duration;
  during?: Window;
}
export interface SequenceStep {
  event: string | readonly string[];
  where?: readonly EventFilter[];
}
export interface SeenCondition {
  seen: { within: Duration };
}
export interface NotSeenCondition {
  notSeen: { for: Duration };
}
export interface FirstSeenCondition {
  firstSeen: { within: Window };
}
/** Where visits came from: the first, the last, or any of them. All that is stated holds of the same one. */
export interface TouchCondition {
  touch: "first" | "last" | "any";
  channel?: Comparison;
  source?: Comparison;
  medium?: Comparison;
  campaign?: Comparison;
  referrer?: Comparison;
  /** Of `any` only. */
  within?: Window;
}
/** Seen last. */
export interface CountryCondition {
  country: Comparison;
}
/** Class of the device seen last. */
export interface DeviceCondition {
  device: Comparison;
}
/** true: has a user id. */
export interface KnownCondition {
  known: boolean;
}
/** May be used for the purpose now. */
export interface ConsentCondition {
  consent: Purpose;
}
/** By the id of another audience, worked out at the same moment. */
export interface AudienceCondition {
  audience: string;
}
