/** One accepted event, as far as it says anything about who somebody is and what they did. */
export interface PersonEvent {
  /** Message id: a copy has the same one. */
  id: string;
  /** Empty for none. */
  anonymousId: string;
  userId: string;
  /** When it happened, in milliseconds. */
  time: number;
  type: "page" | "track" | "identify" | "alias" | "consent";
  /** track: name of the event. */
  name: string;
  /** alias: what joins `userId`. */
  previousId?: string;
  traits?: { readonly [name: string]: string };
  /** Why it was kept: `consent`, or the basis of a server's key, such as `contract`. */
  basis: string;
  library?: string;
  /** With a track named `Order Completed` or `Order Refunded`: whole units of money, negative for a refund. */
  order?: { readonly id: string; readonly currency: string; readonly amount: number };
  /** consent: what was chosen, by purpose. */
  choices?: { readonly [purpose: string]: string };
  /** What the collector let it be used for: bits as in `events.consent_mask`. */
  mask: number;
}

/** How many counterparts an id may have whose first tie lies within a window of days. */
export interface Limit {
  max: number;
  withinDays: number;
}

export type ContactKind = "email" | "phone";

export interface IdentityRules {
  priority: readonly ContactKind[];
  limits: { readonly [kind in ContactKind | "user_id"]: Limit };
  unique: readonly ContactKind[];
  /** More values that are nobody's, besides those built in. */
  blocked: readonly string[];
  aliasJoinsUsers: boolean;
  trustsForms: boolean;
  maxAtoms: number;
}

export const defaultRules: IdentityRules = {
  priority: ["email", "phone"],
  limits: {
    user_id: { max: 100, withinDays: 30 },
    email: { max: 10, withinDays: 30 },
    phone: { max: 10, withinDays: 30 },
  },
  unique: [],
  blocked: [],
  aliasJoinsUsers: true,
  trustsForms: false,
  maxAtoms: 1_000,
};

/** That two ids belong together, whatever event said so. Nodes are `user:<id>` and `device:<id>`. */
export interface PersonEdge {
  kind: "login" | "alias" | "manual" | ContactKind;
  /** login: the device; alias: the user; email, phone: who states it; manual: the smaller one. */
  node: string;
  /** login: the user; alias: the previous id; email, phone: the value as it is compared; manual: the other node. */
  other: string;
}

/** What somebody decided about who is one person, in the order in which it was decided. */
export type PersonDecision =
  | { id: string; action: "merge"; left: string; right: string }
  /** These edges hold no more, also when events state them again. */
  | { id: string; action: "unmerge"; edges: readonly PersonEdge[] }
  | { id: string; action: "undo"; undoes: string };
