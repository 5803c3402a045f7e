import { createBlockedCheck, type IdentityRules } from "@polder/core";
import type { ClickHouse } from "../clickhouse.ts";
import { plainId } from "../stands-for-nobody.ts";
import type { PersonId } from "./read-queries.ts";

export interface FoundPerson {
  person: number;
  /** All of theirs, the smallest first. */
  atoms: number[];
}

/** By site, values that stand for nobody besides the built-in ones. */
export type BlockedIds = () => ReadonlyMap<string, Pick<IdentityRules, "blocked">>;

/**
 * Whoever has an id, with all that belongs to them; undefined when nobody of the site has it, or nobody any more, or when it stands for nobody, as `null`.
 * @param isUnchecked of a number it is left open whether it is of this site, or of anybody, for a caller who reads what the site has of it.
 */
export async function findPersonOf(
  { clickhouse, blocked }: { clickhouse: ClickHouse; blocked: BlockedIds },
  site: string,
  id: PersonId,
  { isUnchecked = false } = {},
): Promise<FoundPerson | undefined> {
  const rules = blocked().get(site) ?? { blocked: [] };
  for (const candidate of candidatesOf(id, rules.blocked, isUnchecked)) {
    const [found] = await clickhouse.query<FoundPerson>(
      `WITH (${candidate.sql}) AS found, toUInt32(ifNull(found, 0)) AS who
       SELECT who AS person, arraySort(groupUniqArrayArray([atom, person])) AS atoms
       FROM person_atom AS p WHERE p.person = who AND person(atom) = who`,
      { params: { site, ...candidate.params } },
    );
    if (found !== undefined && found.person !== 0)
      return { person: found.person, atoms: found.atoms.length === 0 ? [found.person] : found.atoms };
  }
  return undefined;
}

interface Candidate {
  /** A question with one number, or an expression of it: the person; 0 or no row: nobody. */
  sql: string;
  params: { [name: string]: string | number | readonly string[] };
}

const isHash = (text: string): boolean => /^[0-9a-f]{64}$/i.test(text);
const isPersonNumber = (text: string): boolean => /^[1-9]\d{0,9}$/.test(text) && Number(text) < 2 ** 32;

function candidatesOf(id: PersonId, blocked: readonly string[], isUnchecked: boolean): Candidate[] {
  const ofNumber = isUnchecked ? byUncheckedNumber : byNumber;
  const { isBlockedId } = createBlockedCheck({ blocked });
  const ofSomebody = (value: string, candidate: Candidate): Candidate[] => (isBlockedId(value) ? [] : [candidate]);
  switch (id.by) {
    case "person":
      return [ofNumber(id.value)];
    case "user":
      return ofSomebody(id.value, byUser(id.value));
    case "anonymous":
      return ofSomebody(id.value, byDevice(id.value));
    case "email_hash":
      return [byEmailHash(id.value, blocked)];
    case "id":
      return ofSomebody(id.value, byAny(id.value));
    case "any":
      return [
        ...ofSomebody(id.value, byAny(id.value)),
        ...(isPersonNumber(id.value) ? [ofNumber(Number(id.value))] : []),
        ...(isHash(id.value) ? [byEmailHash(id.value.toLowerCase(), blocked)] : []),
      ];
  }
}

// Erased atoms belong to nobody: person(atom) is 0.
const byNumber = (value: number): Candidate => ({
  sql: "SELECT person(atom) FROM atom WHERE site = {site:String} AND atom = {value:UInt32} LIMIT 1",
  params: { value },
});

const byUncheckedNumber = (value: number): Candidate => ({ sql: "person({value:UInt32})", params: { value } });

const byUser = (value: string): Candidate => ({
  sql: "SELECT argMin(person(atom), atom) FROM atom WHERE site = {site:String} AND user_id = {value:String} AND person(atom) != 0",
  params: { value },
});

// A device that several customers used: the one whose atom came first, its visits without a customer before all.
const byDevice = (value: string): Candidate => ({
  sql: "SELECT argMin(person(atom), (user_id != '', atom)) FROM atom WHERE site = {site:String} AND anonymous_id = {value:String} AND person(atom) != 0",
  params: { value },
});

const byAny = (value: string): Candidate => ({
  sql: `SELECT if(countIf(user_id = {value:String}) > 0, argMinIf(person(atom), atom, user_id = {value:String}),
      argMin(person(atom), (user_id != '', atom)))
    FROM atom WHERE site = {site:String} AND (user_id = {value:String} OR anonymous_id = {value:String}) AND person(atom) != 0`,
  params: { value },
});

// Of several who state one address: whoever a login or a server says it of, then whoever stated it last. A user id that stands for nobody is no login.
const byEmailHash = (value: string, blocked: readonly string[]): Candidate => ({
  sql: `SELECT argMax(person(atom), (rule = 'server' OR (rule = 'login' AND ${plainId("user_id")} NOT IN {nobody:Array(String)}), time, _offset)) FROM identity_edge
    WHERE site = {site:String} AND kind = 'email' AND other = {value:String} AND atom != 0 AND person(atom) != 0`,
  params: { value, nobody: blocked.map((one) => one.trim().toLowerCase()) },
});
