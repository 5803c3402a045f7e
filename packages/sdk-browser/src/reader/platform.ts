import type { Purpose } from "@polder/protocol";
import type { ChoiceDetails } from "../consent.ts";
import type { Polder } from "../create-polder.ts";
import { attempt } from "../device-storage.ts";

/** Which names of a consent platform's a purpose of ours needs, all of them. One without any is a no. */
export type PlatformPurposes<Name> = { readonly [P in Purpose]?: readonly Name[] };

/** The function of that name on the page, as soon as there is one: a platform, or its stub, may come after us. */
export const whenThere = (name: string, run: (api: never) => void): void => {
  const api = (window as unknown as { [name: string]: never })[name];
  // A platform that throws is broken for itself alone.
  if (typeof api === "function") attempt(() => run(api));
  else setTimeout(() => whenThere(name, run), 250);
};

/** What each platform on this page says, by its name: of several, the strictest counts. */
const platforms: { [name: string]: (purpose: Purpose) => boolean } = {};
const raws: ChoiceDetails["raw"] & object = {};
/** While a choice is made that a platform tells of. */
export let isTakingOver = false;

/**
 * Makes the choice that a visitor made with a consent platform the choice here, when it is another one. What a platform repeats on every page
 * gives nothing back that was refused or taken back here, or has grown too old; an act of the visitor does.
 * @param raw what the platform said, under its name.
 */
export const takeOver = <Name extends string | number>(
  { consent }: Pick<Polder, "consent">,
  purposes: PlatformPurposes<Name>,
  isGranted: (name: Name) => boolean,
  raw: ChoiceDetails["raw"] & object,
  isAct: boolean,
): void => {
  Object.assign(raws, raw);
  platforms[Object.keys(raw)[0]!] = (purpose) => !!purposes[purpose]?.[0] && purposes[purpose].every(isGranted);
  const { status, purposes: held, at, gpc, regime } = consent.get();
  // Where none has to come first, what is not held has been objected to.
  const mayGive = isAct || !(at || (regime && regime !== "asked"));
  let isNew = (isAct || !at) && status === "unset";
  const choice: { [P in Purpose]?: boolean } = {};
  // Without `necessary`, which is the first.
  for (const purpose of (Object.keys(held) as Purpose[]).slice(1)) {
    const isAllowed = Object.values(platforms).every((allows) => allows(purpose));
    const isYes = isAllowed && (mayGive || held[purpose]) && !(gpc && purpose === "ads");
    choice[purpose] = isYes;
    isNew ||= isYes !== held[purpose];
  }
  isTakingOver = true;
  if (isNew) consent.set(choice, { raw: { ...raws } });
  isTakingOver = false;
};
