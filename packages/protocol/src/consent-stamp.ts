import { consentStates, regimes, type ConsentStamp, type ConsentState, type Regime } from "./event.ts";
import { purposes, type Purpose } from "./purpose.ts";

type Loose = { readonly [key: string]: unknown };

const isObject = (value: unknown): value is Loose =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const states: readonly unknown[] = consentStates;

/**
 * The choice that an event carries, read from its `context`: our own stamp in `consent`, Segment's `consent.categoryPreferences`, or RudderStack's
 * `consentManagement`, where a category carries the name of a purpose of ours in any case. The first that is there counts, in this order, and of the
 * others only what they refuse: a no in any is a no. Undefined: nothing is known. Never throws.
 * @param collectedAt ISO 8601 time of the event: the other two say what held then and have no time of their own; without it their grants do not count.
 */
export function consentOf(context: unknown, collectedAt?: string): ConsentStamp | undefined {
  if (!isObject(context)) return undefined;
  const { consent, consentManagement } = context;
  if (isNothing(consent)) return readConsentStamp(consentManagement, collectedAt);
  const stamp = readConsentStamp(consent, collectedAt);
  return isNothing(consentManagement) ? stamp : withRefusals(stamp, readConsentStamp(consentManagement, collectedAt));
}

/**
 * As {@link consentOf}, for the object itself. What is there but cannot be read is a no for every purpose; what says nothing of our purposes
 * is nothing known.
 */
export function readConsentStamp(value: unknown, collectedAt?: string): ConsentStamp | undefined {
  if (isNothing(value)) return undefined;
  if (!isObject(value)) return allDenied();
  const {
    v,
    purposes: own,
    categoryPreferences: preferences,
    allowedConsentIds: allowed,
    deniedConsentIds: denied,
  } = value;
  const forms: (ConsentStamp | undefined)[] = [];
  if (v !== undefined || own !== undefined) forms.push(readOwn(value));
  if (preferences !== undefined) forms.push(readSegment(preferences, collectedAt));
  if (allowed !== undefined || denied !== undefined) forms.push(readRudderStack(allowed, denied, collectedAt));
  if (forms.length > 0) return forms.reduce(withRefusals);
  return Object.keys(value).length === 0 ? undefined : allDenied();
}

const isNothing = (value: unknown): value is undefined | null => value === undefined || value === null;

/** The choice, and what another form of it beside it refuses. Where the choice says nothing of our purposes, that is all there is. */
function withRefusals(stamp: ConsentStamp | undefined, other: ConsentStamp | undefined): ConsentStamp | undefined {
  const refused = purposes.filter((purpose) => isNo(other?.purposes[purpose]) && !isNo(stamp?.purposes[purpose]));
  if (refused.length === 0) return stamp;
  const denied = Object.fromEntries(refused.map((purpose) => [purpose, "denied" as const]));
  return { v: 1, id: "", ...stamp, purposes: { ...stamp?.purposes, ...denied } };
}

const isNo = (state: ConsentState | undefined): boolean =>
  state === "denied" || state === "withdrawn" || state === "opted_out";

/** Whether it is a stamp of ours with an id: what an event of type `consent` has to carry, as it is the record of that choice. */
export const isOwnStamp = (value: unknown): boolean =>
  isObject(value) && value.v === 1 && typeof value.id === "string" && value.id !== "" && isObject(value.purposes);

function readOwn(value: Loose): ConsentStamp {
  if (value.v !== 1 || !isObject(value.purposes)) return allDenied();
  const chosen: { [P in Purpose]?: ConsentState } = {};
  for (const purpose of purposes) {
    const state = value.purposes[purpose];
    if (state !== undefined && state !== null) chosen[purpose] = isState(state) ? state : "denied";
  }
  return {
    v: 1,
    id: typeof value.id === "string" ? value.id : "",
    purposes: chosen,
    ...(value.regime !== undefined && value.regime !== null && { regime: readRegime(value.regime) }),
    ...(typeof value.at === "string" && { at: value.at }),
    ...(value.gpc !== undefined && value.gpc !== null && { gpc: value.gpc !== false }),
    ...readNotice(value.notice),
    ...readTexts(value.texts),
  };
}

/** The hash of a text, or the beginning of it that a device keeps. */
const hashForm = /^[0-9a-f]{8,64}$/;

/** What is no hash is kept as one that no text has, so that it cannot pass for the text of today. */
function readTexts(value: unknown): Pick<ConsentStamp, "texts"> {
  if (value === undefined || value === null) return {};
  const given: Loose = isObject(value) ? value : Object.fromEntries(purposes.map((purpose) => [purpose, false]));
  const texts: { [P in Purpose]?: string } = {};
  for (const purpose of purposes) {
    const hash = given[purpose];
    if (hash !== undefined && hash !== null)
      texts[purpose] = typeof hash === "string" && hashForm.test(hash) ? hash : unreadableText;
  }
  return Object.keys(texts).length === 0 ? {} : { texts };
}

const unreadableText = "unreadable";

function readNotice(value: unknown): Pick<ConsentStamp, "notice"> {
  if (!isObject(value) || typeof value.version !== "string") return {};
  const { version, hash, language, variant } = value;
  return {
    notice: {
      version,
      ...(typeof hash === "string" && { hash }),
      ...(typeof language === "string" && { language }),
      ...(typeof variant === "string" && { variant }),
    },
  };
}

function readSegment(preferences: unknown, collectedAt: string | undefined): ConsentStamp | undefined {
  if (!isObject(preferences)) return allDenied();
  return fromCategories(Object.entries(preferences), collectedAt);
}

function readRudderStack(allowed: unknown, denied: unknown, collectedAt: string | undefined): ConsentStamp | undefined {
  if (!Array.isArray(allowed ?? []) || !Array.isArray(denied ?? [])) return allDenied();
  const categories = (ids: unknown, isAllowed: boolean): [unknown, boolean][] =>
    ((ids ?? []) as unknown[]).map((id) => [id, isAllowed]);
  return fromCategories([...categories(allowed, true), ...categories(denied, false)], collectedAt);
}

function fromCategories(
  categories: readonly (readonly [unknown, unknown])[],
  collectedAt: string | undefined,
): ConsentStamp | undefined {
  const chosen: { [P in Purpose]?: ConsentState } = {};
  for (const [category, isAllowed] of categories) {
    const name = typeof category === "string" ? category.toLowerCase() : "";
    const purpose = purposes.find((each) => each === name);
    // The same purpose twice, in other cases or in both lists: a no wins.
    if (purpose !== undefined && chosen[purpose] !== "denied")
      chosen[purpose] = isAllowed === true ? "granted" : "denied";
  }
  if (Object.keys(chosen).length === 0) return undefined;
  return { v: 1, id: "", purposes: chosen, ...(collectedAt !== undefined && { at: collectedAt }) };
}

const allDenied = (): ConsentStamp => ({
  v: 1,
  id: "",
  purposes: Object.fromEntries(purposes.map((purpose) => [purpose, "denied" as const])),
});

const isState = (value: unknown): value is ConsentState => states.includes(value);

const readRegime = (value: unknown): Regime => regimes.find((regime) => regime === value) ?? "opt_in";
