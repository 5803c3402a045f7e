import { limits, purposes } from "@polder/protocol";
import {
  comparisonFields,
  comparisonNames,
  comparisonShape,
  numberComparisonFields,
  numberComparisonShape,
} from "./comparison.ts";
import { eventFiltersShape, addendPathShape } from "./event-filter.ts";
import type { FormsShape, ObjectShape, Shape } from "./shape.ts";
import { durationShape, windowShape } from "./window.ts";

const maxConditions = 50;
const name = { type: "text", isNotEmpty: true, maxLength: limits.maxNameLength } as const;
export const currencyShape: Shape = {
  type: "text",
  about: "The currency, as EUR: nothing is added up across currencies.",
  check: (text) => (/^[A-Z]{3}$/.test(text) ? undefined : "must be the three capitals of a currency, as EUR."),
};

export const eventNamesShape: Shape = {
  type: "list",
  about: "Name of the event, or a list of names of which any counts. `*`: whatever happened.",
  min: 1,
  max: 50,
  orOne: true,
  of: { ...name, about: "Name of a tracked event; else its type: page, screen, identify, group, alias or consent." },
};

const conditions = (about: string): Shape => ({
  type: "list",
  about,
  min: 1,
  max: maxConditions,
  of: conditionShape,
});

const sum: ObjectShape = {
  type: "object",
  name: "sum",
  about: "What the events add up to: zero when there are none.",
  fields: {
    of: {
      type: "forms",
      name: "addend",
      noun: "what is added up",
      about: "What is added up: `amount`, or the property of each event that is a number.",
      forms: () => ({
        property: { type: "object", about: "A property.", fields: { property: addendPathShape } },
      }),
      orText: "amount",
    },
    currency: currencyShape,
    ...numberComparisonFields,
  },
  required: ["of"],
  needsOneOf: Object.keys(numberComparisonFields),
  check: (value) =>
    value["of"] === "amount" && value["currency"] === undefined
      ? 'adds up amounts of any currency: add "currency", as EUR.'
      : undefined,
};

const oneEvent = (which: string): ObjectShape => ({
  type: "object",
  name: `${which}Event`,
  about: `What the ${which} of the events has to be.`,
  fields: {
    within: { ...windowShape, about: "When it happened." },
    where: eventFiltersShape,
  },
  needsOneOf: ["within", "where"],
});

const measures = ["count", "sum", "first", "last"] as const;

const event: ObjectShape = {
  type: "object",
  about: "Something happened: at least once, or as often, as much, first or last as stated.",
  fields: {
    event: eventNamesShape,
    where: eventFiltersShape,
    within: { ...windowShape, about: "Only events in this window. Absent: ever." },
    count: { ...numberComparisonShape, about: "How many such events there are: zero when there are none." },
    sum,
    first: oneEvent("first"),
    last: oneEvent("last"),
  },
  check: (value) => {
    const given = measures.filter((measure) => measure in value);
    return given.length > 1 ? `has ${given.join(" and ")}: use one of them, and all of two conditions.` : undefined;
  },
};

const sequence: ObjectShape = {
  type: "object",
  about: "Events one after another.",
  fields: {
    sequence: {
      type: "list",
      about: "The steps, in their order. Others may happen in between.",
      min: 2,
      max: 10,
      of: {
        type: "object",
        name: "step",
        about: "A step.",
        fields: { event: eventNamesShape, where: eventFiltersShape },
        required: ["event"],
      },
    },
    within: { ...durationShape, about: "From the first step to the last, at most." },
    during: { ...windowShape, about: "Only events in this window. Absent: ever." },
  },
  required: ["within"],
};

const touchFields = {
  channel: { ...comparisonShape, about: "direct, search, social, mail, paid or referral." },
  source: { ...comparisonShape, about: "utm_source." },
  medium: { ...comparisonShape, about: "utm_medium." },
  campaign: { ...comparisonShape, about: "utm_campaign." },
  referrer: { ...comparisonShape, about: "Host of the page before." },
};

const touch: ObjectShape = {
  type: "object",
  about: "Where visits came from. All that is stated holds of the same one.",
  fields: {
    touch: { type: "one_of", about: "Which visit: the first, the last, or any.", values: ["first", "last", "any"] },
    ...touchFields,
    within: { ...windowShape, about: "Of any: only visits in this window." },
  },
  needsOneOf: Object.keys(touchFields),
  check: (value) =>
    "within" in value && value["touch"] !== "any"
      ? 'has a window, which only "touch": "any" can have: the first and the last are those of all times.'
      : undefined,
};

const single = (key: string, field: Shape, about: string): ObjectShape => ({
  type: "object",
  about,
  fields: { [key]: field },
});

const conditionShape: FormsShape = {
  type: "forms",
  name: "condition",
  noun: "a condition",
  about: "What a person has to be.",
  forms: () => forms,
};

const forms: { readonly [key: string]: ObjectShape } = {
  all: single("all", conditions("All of these hold."), "All of several conditions."),
  any: single("any", conditions("At least one of these holds."), "Any of several conditions."),
  not: single("not", conditionShape, "The condition does not hold."),
  trait: {
    type: "object",
    about: "A trait as it was stated last.",
    fields: { trait: { ...name, about: "Name of the trait." }, ...comparisonFields },
    needsOneOf: comparisonNames,
  },
  computedTrait: {
    type: "object",
    about: "A computed trait, worked out at the same moment.",
    fields: { computedTrait: { ...name, about: "Name of the computed trait." }, ...comparisonFields },
    needsOneOf: comparisonNames,
  },
  event,
  sequence,
  seen: single(
    "seen",
    {
      type: "object",
      about: "Anything happened.",
      fields: { within: { ...durationShape, about: "In the last so much time." } },
      required: ["within"],
    },
    "Seen lately: whatever happened last was in this time.",
  ),
  notSeen: single(
    "notSeen",
    {
      type: "object",
      about: "Nothing happened.",
      fields: { for: { ...durationShape, about: "For so much time." } },
      required: ["for"],
    },
    "Not seen lately: whatever happened last was before that.",
  ),
  firstSeen: single(
    "firstSeen",
    {
      type: "object",
      about: "The very first event.",
      fields: { within: { ...windowShape, about: "When that was." } },
      required: ["within"],
    },
    "Seen for the first time in this window.",
  ),
  touch,
  country: single("country", comparisonShape, "The country seen last, as NL."),
  device: single("device", comparisonShape, "The class of the device seen last: desktop, mobile, tablet or tv."),
  known: single(
    "known",
    { type: "boolean", about: "true: has a user id. false: anonymous." },
    "Known to the site, or anonymous.",
  ),
  consent: single(
    "consent",
    { type: "one_of", about: "The purpose.", values: purposes },
    "May be used for a purpose now.",
  ),
  audience: single(
    "audience",
    { ...name, about: "Id of the audience." },
    "Belongs to another audience, worked out at the same moment.",
  ),
};

/** All of a definition. */
export const audienceShape: ObjectShape = {
  type: "object",
  about: "Who belongs to an audience.",
  fields: {
    $schema: { type: "text", maxLength: 1_000, about: "Where an editor finds the schema of this file." },
    description: { type: "text", maxLength: 1_000, about: "What it is for, in a sentence." },
    people: conditionShape,
  },
  required: ["people"],
};
