import { choiceCookieName, decodeChoice, purposesOf, type Purpose } from "@polder/protocol";

/** What this browser chose on a site of this host. Cookies are shared by all ports of one host. */
export type ConsentHere =
  | { kind: "none" }
  | { kind: "refused"; since: number }
  | { kind: "granted"; purposes: readonly Purpose[]; at: number };

export function readConsentHere(cookies: string): ConsentHere {
  for (const pair of cookies.split("; ")) {
    const at = pair.indexOf("=");
    if (pair.slice(0, at) !== choiceCookieName) continue;
    const choice = decodeChoice(pair.slice(at + 1));
    if (choice === undefined) return { kind: "none" };
    if (choice.mask === 0) return { kind: "refused", since: choice.at };
    const purposes = purposesOf(choice.mask).filter((purpose) => purpose !== "necessary");
    return { kind: "granted", purposes, at: choice.at };
  }
  return { kind: "none" };
}
