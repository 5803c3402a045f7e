import type { Purpose } from "@polder/protocol";
import type { ChoiceDetails } from "../consent.ts";
import type { Polder } from "../create-polder.ts";

/** Which names of a consent platform's a purpose of ours needs, all of them. One without any is a no. */
export type PlatformPurposes<Name> = { readonly [P in Purpose]?: readonly Name[] };

/** The function of that name on the page, as soon as there is one: a platform, or its stub, may come after us. */
export const whenThere = (name: string, run: (api: never) => void): void => {
  const api = (window as unknown as { [name: string]: never })[name];
  if (typeof api === "function") run(api);
  else setTimeout(() => whenThere(name, run), 250);
};

/**
 * Makes the choice that a visitor made with a consent platform the choice here, when it is another one. What a platform repeats on every page
 * gives nothing back that was refused or taken back here, or has grown too old; an act of the visitor does.
 */
export const takeOver = <Name extends string | number>(
  { consent }: Pick<Polder, "consent">,
  purposes: PlatformPurposes<Name>,
  isGranted: (name: Name) => boolean,
  raw: ChoiceDetails["raw"] & object,
  isAct: boolean,
): void => {
  const { status, purposes: held, at, gpc } = consent.get();
  const mayGive = isAct || !at;
  let isNew = mayGive && status === "unset";
  const choice: { [P in Purpose]?: boolean } = {};
  // Without `necessary`, which is the first.
  for (const purpose of (Object.keys(held) as Purpose[]).slice(1)) {
    const names = purposes[purpose] ?? [];
    const isYes = !!names[0] && names.every(isGranted) && (mayGive || held[purpose]) && !(gpc && purpose === "ads");
    choice[purpose] = isYes;
    isNew ||= isYes !== held[purpose];
  }
  if (isNew) consent.set(choice, { raw });
};
