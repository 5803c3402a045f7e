import { createHash } from "node:crypto";
import { emailHash, phoneHash } from "./contact-hash.ts";

/** What joins people besides ids: a value that several of them state. */
export const contactKinds = ["email", "phone"] as const;
export type ContactKind = (typeof contactKinds)[number];

/** More different counterparts than `max` that are new within one span of `withinDays` × 24 hours, and a value is not followed. */
export interface IdentityLimit {
  max: number;
  withinDays: number;
}

/** What joins the people of a site, from its configuration. */
export interface IdentityRules {
  /** user_id: devices that one user id logs in on. email, phone: ids by which one value is stated. */
  limits: { readonly [kind in "user_id" | ContactKind]: IdentityLimit };
  /** Kinds that join people, in this order. A kind that is not named joins nobody. */
  priority: readonly ContactKind[];
  /** Kinds of which a person has one value at most; a user id is always one of them. */
  unique: readonly ContactKind[];
  /** Values that stand for nobody, besides the built-in ones. */
  blocked: readonly string[];
  /** Whether what is typed into a form counts without a login or a server that says the same. */
  trustsForms: boolean;
  /** Whether an alias of two user ids makes them one person. */
  aliasJoinsUsers: boolean;
  /** A person of more identities than this is quarantined. */
  maxAtoms: number;
}

export const defaultIdentityRules: IdentityRules = {
  limits: {
    user_id: { max: 100, withinDays: 30 },
    email: { max: 10, withinDays: 30 },
    phone: { max: 10, withinDays: 30 },
  },
  priority: contactKinds,
  unique: [],
  blocked: [],
  trustsForms: false,
  aliasJoinsUsers: true,
  maxAtoms: 1_000,
};

/** What each of these sites has configured. */
export const identityRulesOf = (
  sites: readonly { id: string; identity: IdentityRules }[],
): ReadonlyMap<string, IdentityRules> => new Map(sites.map(({ id, identity }) => [id, identity]));

/** What broken templates and tests send in place of an id. Compared trimmed, in small letters. */
export const builtInBlocked = [
  "",
  "null",
  "undefined",
  "none",
  "nan",
  "anonymous",
  "guest",
  "unknown",
  "true",
  "false",
  "0",
  "-1",
  "[object object]",
] as const;
/** All zeros, as an empty UUID. */
const onlyZeros = /^[0-]*0[0-]*$/;
const testAddress = "test@";

/** Says of a value whether it stands for nobody. */
export function createBlockedCheck({ blocked }: Pick<IdentityRules, "blocked">): {
  isBlockedId(id: string): boolean;
  /** Of a hash: the built-in values have left no hash anywhere. */
  isBlockedHash(kind: ContactKind, hash: string): boolean;
} {
  const ids = new Set<string>([...builtInBlocked, ...blocked.map((value) => value.trim().toLowerCase())]);
  const hashes = {
    email: new Set(blocked.map(emailHash)),
    phone: new Set(blocked.map(phoneHash)),
  };
  return {
    isBlockedId(id) {
      const plain = id.trim().toLowerCase();
      return ids.has(plain) || onlyZeros.test(plain) || plain.startsWith(testAddress);
    },
    isBlockedHash: (kind, hash) => hashes[kind].has(hash),
  };
}

/** The same for the same rules, however they are written down. Stored with what was worked out by them. */
export function identityRulesHash(rules: IdentityRules): string {
  const limit = ({ max, withinDays }: IdentityLimit): number[] => [max, withinDays];
  const facts = [
    limit(rules.limits.user_id),
    limit(rules.limits.email),
    limit(rules.limits.phone),
    rules.priority,
    rules.unique.toSorted(),
    [...new Set(rules.blocked.map((value) => value.trim().toLowerCase()))].toSorted(),
    rules.trustsForms,
    rules.aliasJoinsUsers,
    rules.maxAtoms,
  ];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 32);
}
