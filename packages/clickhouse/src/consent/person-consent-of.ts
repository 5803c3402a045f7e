import {
  consentOfPerson,
  createBlockedCheck,
  decidedEdges,
  edgeKeyText,
  type Choices,
  type DeviceConsent,
  type IdentityDecision,
  type LastUse,
  type PersonFlags,
  type PurposeConsent,
} from "@polder/core";
import { purposes, type Purpose } from "@polder/protocol";
import { askAbout } from "../ask-about.ts";
import { askTogether, type Part } from "../ask-together.ts";
import type { ClickHouse } from "../clickhouse.ts";
import { fieldsOf } from "../identity-store.ts";
import { askedPurposes } from "../migrations/0012-people-consent.ts";
import { slices } from "../rewrite-tables.ts";
import { isNobodysHash } from "../stands-for-nobody.ts";

/** The ids of an identity; empty text means none. */
export interface IdentityRow {
  atom: number;
  anonymousId: string;
  userId: string;
}
/** What ties an identity of somebody, and since when (milliseconds since 1970). */
export interface EdgeRow extends Omit<IdentityRow, "atom"> {
  kind: string;
  other: string;
  rule: string;
  time: number;
}

const ofPerson = "site = {site:String} AND atom IN {atoms:Array(UInt32)}";

/** Takes the parameters `site` and `atoms`. */
export const edgesPart: Part<EdgeRow> = {
  columns: {
    kind: "kind",
    other: "other",
    rule: "rule",
    anonymousId: "anonymous_id",
    userId: "user_id",
    time: "toUnixTimestamp64Milli(min(e.time))",
  },
  from: `FROM identity_edge AS e WHERE ${ofPerson} GROUP BY kind, other, rule, anonymous_id, user_id`,
};
const identitiesPart: Part<IdentityRow> = {
  columns: { atom: "atom", anonymousId: "any(anonymous_id)", userId: "any(user_id)" },
  from: `FROM atom_event AS e WHERE ${ofPerson} GROUP BY atom`,
};

/** In days. */
export const grantTermQuery =
  "SELECT if(argMax(grant_days, n) = 0, 365, argMax(grant_days, n)) AS days FROM consent_setting WHERE site = {site:String}";

/**
 * Every purpose of a person at a moment, whether it is allowed and why: which device decided it, and when (milliseconds since 1970). Devices are
 * `device:<anonymous id>`, `user:<user id>` for a user without one, and `withdrawn:<number>` for what a withdrawal has left.
 */
export async function personConsentOf(
  clickhouse: ClickHouse,
  site: string,
  person: number,
  now: number,
): Promise<PurposeConsent[]> {
  // A number that was absorbed by another person has none.
  const [found] = await clickhouse.query<{ atoms: number[] }>(
    `SELECT arrayFilter(one -> person(one) = {person:UInt32}, arrayDistinct(arrayPushFront(groupArray(atom), {person:UInt32}))) AS atoms
     FROM person_atom AS p WHERE p.person = {person:UInt32}`,
    { params: { person } },
  );
  const params = { site, atoms: found?.atoms ?? [] };
  const asked = askAbout(clickhouse, { person, atoms: params.atoms });
  const [[term], { identities, edges, own }] = await Promise.all([
    clickhouse.query<{ days: number }>(grantTermQuery, { params: { site } }),
    askTogether<{ identities: IdentityRow; edges: EdgeRow; own: SaidRow }>(
      asked,
      { identities: identitiesPart, edges: edgesPart, own: saidPart },
      { params },
    ),
  ]);
  return readConsentOf(asked, { ...params, person, now, grantDays: term?.days ?? 365, identities, edges, own });
}

type Asked = Pick<ClickHouse, "query">;

interface ConsentQuestion {
  site: string;
  person: number;
  now: number;
  grantDays: number;
  /** Every identity of the person that has ids: more rows of one do no harm. */
  identities: readonly IdentityRow[];
  edges: readonly EdgeRow[];
  own: readonly SaidRow[];
}

/**
 * {@link personConsentOf} for one of whom much is known. As plain questions, worked out by the rule itself: ClickHouse would take longer to understand one
 * question for all of it than to answer these. They are put where {@link askAbout} says.
 */
export async function readConsentOf(clickhouse: Asked, question: ConsentQuestion): Promise<PurposeConsent[]> {
  const { identities, own, now } = question;
  const { others, tiedSince, joined, flags } = await readOthers(clickhouse, question);
  return consentOfPerson({
    devices: devicesOf(own, { others, tiedSince, names: namesOf(identities) }),
    joinedAt: joined,
    flags: flagsOf(flags),
    now,
    grantLifetimeMs: question.grantDays * 24 * 3_600_000,
  });
}

interface Said {
  device: string;
  /** By purpose, as `consent_state` has them: twice the time, and 1 more for a no. */
  said: number[];
  byChoice: number;
}
/** What the person said. */
export interface SaidRow extends Said {
  atom: number;
  user: string;
  since: number;
  byKey: number;
  byLaw: number;
}

const said = {
  device: "toString(s.device)",
  said: `[${askedPurposes.map((purpose) => `max(${purpose})`).join(", ")}]`,
  byChoice: "max(by_choice)",
};
/** Takes the parameters `site` and `atoms`. */
export const saidPart: Part<SaidRow> = {
  columns: {
    ...said,
    atom: "atom",
    user: `toString(if(${isNobodysHash("s.user")}, 0, s.user))`,
    since: "toUnixTimestamp64Milli(min(s.since))",
    byKey: "max(by_key)",
    byLaw: "max(by_law)",
  },
  from: `FROM consent_state AS s WHERE ${ofPerson} GROUP BY atom, s.device, s.user`,
};
/** What others said on the same devices. */
const othersPart: Part<Said> = {
  columns: said,
  from: `FROM consent_state AS s WHERE site = {site:String} AND s.device IN {shared:Array(UInt64)} AND person(atom) NOT IN (0, {person:UInt32})
GROUP BY s.device`,
};

type DecisionRow = Pick<IdentityDecision, "id" | "action" | "left" | "right" | "edges" | "undoes" | "at">;

// Undoes are few, and what an undo takes back may be one.
const decisionsPart: Part<DecisionRow> = {
  columns: {
    id: "id",
    action: "action",
    left: "left",
    right: "right",
    edges: "edges",
    undoes: "undoes",
    at: "toUnixTimestamp64Milli(d.at)",
  },
  from: `FROM identity_decision AS d
WHERE site = {site:String} AND (action = 'undo'
  OR (action = 'merge' AND (left IN {nodes:Array(String)} OR right IN {nodes:Array(String)}))
  OR (action = 'unmerge' AND arrayExists(edge -> edge.1 IN ('manual', 'alias') AND (has({nodes:Array(String)}, edge.2) OR has({nodes:Array(String)}, edge.3)), edges)))`,
};

/** Of what has no name. */
interface TieRow {
  atom: number;
  since: number;
}
const tiesPart: Part<TieRow> = {
  columns: { atom: "atom", since: "toUnixTimestamp64Milli(max(t.since))" },
  from: `FROM identity_tie AS t WHERE site = {site:String} AND atom IN {nameless:Array(UInt32)} GROUP BY atom`,
};

interface FlagRow extends Ids {
  flag: "restrict" | "object";
  purpose: Purpose | "";
}

// Set and taken back in one moment is set.
const flagsPart: Part<FlagRow> = {
  columns: { userId: "user_id", anonymousId: "anonymous_id", flag: "flag", purpose: "purpose" },
  from: `FROM person_flag
WHERE site = {site:String} AND (user_id IN {users:Array(String)} OR (user_id = '' AND anonymous_id IN {devices:Array(String)}))
GROUP BY user_id, anonymous_id, flag, purpose HAVING argMax(is_set, (at, is_set)) = 1`,
};

type Ids = Omit<IdentityRow, "atom">;

async function readOthers(clickhouse: Asked, { site, person, identities, edges, own }: ConsentQuestion) {
  // Of an identity that only bots have used there are no events here, and there may be an edge.
  const ids: Ids[] = [...identities, ...edges];
  // Of most people one field each.
  const users = fieldsOfEach(ids.map(({ userId }) => userId));
  const devices = fieldsOfEach(ids.map(({ anonymousId }) => anonymousId));
  const nodes = fieldsOfEach(identities.filter(hasIds).map(nodeOf));
  const keys = [...new Set(own.map(({ device }) => device))].filter((device) => device !== "0").map(BigInt);
  const shared = [...slices(keys)];
  const nameless = [...slices(own.flatMap(({ atom, device }) => (device === "0" ? [atom] : [])))];
  const answers = await Promise.all(
    Array.from({ length: Math.max(...[users, devices, nodes, shared, nameless].map(({ length }) => length)) }, (_, n) =>
      askTogether<{ others: Said; decisions: DecisionRow; flags: FlagRow; ties: TieRow }>(
        clickhouse,
        {
          others: shared[n] && othersPart,
          decisions: nodes[n] && decisionsPart,
          flags: users[n] === undefined && devices[n] === undefined ? undefined : flagsPart,
          ties: nameless[n] && tiesPart,
        },
        {
          params: {
            site,
            person,
            shared: shared[n] ?? [],
            nameless: nameless[n] ?? [],
            nodes: nodes[n] ?? [],
            users: users[n] ?? [],
            devices: devices[n] ?? [],
          },
        },
      ),
    ),
  );
  const made = answers
    .flatMap(({ decisions }) => decisions)
    .map((row): IdentityDecision => ({ ...row, site, actor: "", reason: "" }));
  // What was unmerged joins nobody any more, unless it was merged again.
  const { manual, revoked } = decidedEdges(made);
  const isHeld = ({ kind, userId, other }: EdgeRow): boolean =>
    kind !== "alias" || !revoked.has(edgeKeyText({ kind, node: `user:${userId}`, other }));
  const pairs = new Set(ids.map(({ userId, anonymousId }) => JSON.stringify([userId, anonymousId])));
  const flags = answers
    .flatMap((answer) => answer.flags)
    .filter(
      ({ userId, anonymousId }) =>
        (userId !== "" && anonymousId === "") || pairs.has(JSON.stringify([userId, anonymousId])),
    );
  return {
    others: answers.flatMap(({ others }) => others),
    tiedSince: new Map(answers.flatMap(({ ties }) => ties).map(({ atom, since }) => [atom, since])),
    joined: joinedAt(
      edges.filter(isHeld),
      [...manual.values()].map(({ decision }) => decision),
    ),
    flags,
  };
}

const fieldsOfEach = (ids: readonly string[]): string[][] => [...fieldsOf([...new Set(ids)].filter((id) => id !== ""))];

const hasIds = ({ anonymousId, userId }: Ids): boolean => anonymousId !== "" || userId !== "";
const { isBlockedId } = createBlockedCheck({ blocked: [] });
const nodeOf = ({ anonymousId, userId }: Ids): string =>
  isBlockedId(userId) ? `device:${anonymousId}` : `user:${userId}`;

const namesOf = (identities: readonly IdentityRow[]): ReadonlyMap<number, string> =>
  new Map(
    identities
      .filter(hasIds)
      .map(({ atom, anonymousId, userId }) => [atom, anonymousId === "" ? `user:${userId}` : `device:${anonymousId}`]),
  );

/** What a withdrawal has made nameless is a device by itself. */
function devicesOf(
  rows: readonly SaidRow[],
  {
    others,
    tiedSince,
    names,
  }: {
    others: readonly Said[];
    tiedSince: ReadonlyMap<number, number>;
    names: ReadonlyMap<number, string>;
  },
): DeviceConsent[] {
  const byDevice = new Map<string, SaidRow[]>();
  for (const row of rows) {
    const key = row.device === "0" ? `withdrawn:${row.atom}` : row.device;
    byDevice.set(key, [...(byDevice.get(key) ?? []), row]);
  }
  return [...byDevice].map(([key, own]): DeviceConsent => {
    const isNamed = own[0]!.device !== "0";
    const withUser = own.filter(({ user }) => user !== "0");
    const anybodys = [...own, ...others.filter(({ device }) => device === key)];
    const last = (of: (row: SaidRow) => number): LastUse | undefined =>
      isNamed ? useOf(Math.max(...own.map(of))) : undefined;
    const usedSince = withUser.length === 0 ? 0 : Math.min(...withUser.map(({ since }) => since));
    const named = own.map(({ atom }) => names.get(atom)).find((name) => name !== undefined);
    return {
      id: isNamed ? (named ?? `withdrawn:${own[0]!.atom}`) : key,
      isNamed,
      users: [...new Set(withUser.map(({ user }) => user))],
      usedSince: isNamed ? usedSince : (tiedSince.get(own[0]!.atom) ?? 0),
      said: choicesOf(own),
      saidByAnybody: choicesOf(anybodys),
      byChoice: useOf(Math.max(...own.map(({ byChoice }) => byChoice))),
      byChoiceOfAnybody: isNamed ? useOf(Math.max(...anybodys.map(({ byChoice }) => byChoice))) : undefined,
      byKey: last(({ byKey }) => byKey),
      byLaw: last(({ byLaw }) => byLaw),
    };
  });
}

function choicesOf(rows: readonly Said[]): Choices {
  const choices: { [P in Purpose]?: { at: number; isYes: boolean } } = {};
  for (const [index, purpose] of askedPurposes.entries()) {
    const word = Math.max(...rows.map((row) => row.said[index]!));
    if (word > 0) choices[purpose] = { at: Math.floor(word / 2), isYes: word % 2 === 0 };
  }
  return choices;
}

/** As `consent_state` has it: 128 times the time, 64 for what rests on a yes, and the purposes that were not allowed. */
const useOf = (use: number): LastUse | undefined =>
  use === 0 ? undefined : { at: Math.floor(use / 128), restsOnYes: ((use % 128) & 64) !== 0, mask: ~(use % 64) & 63 };

/** Since when everything has been there that joins more than a user and their devices; undefined: nothing does. */
function joinedAt(edges: readonly EdgeRow[], merges: readonly IdentityDecision[]): number | undefined {
  const hubs = new Map<string, Map<string, number>>();
  for (const edge of edges) {
    if (edge.kind === "login" || edge.kind === "import") continue;
    const hub = JSON.stringify([edge.kind, edge.other]);
    const firsts = hubs.get(hub) ?? new Map<string, number>();
    const node = nodeOf(edge);
    hubs.set(hub, firsts.set(node, Math.min(edge.time, firsts.get(node) ?? Infinity)));
  }
  const joins = [...hubs].flatMap(([hub, firsts]) =>
    firsts.size > 1 || hub.startsWith('["alias"') ? [...firsts.values()] : [],
  );
  const times = [...joins, ...merges.map(({ at }) => at)];
  return times.length === 0 ? undefined : Math.max(...times);
}

const flagsOf = (flags: readonly FlagRow[]): PersonFlags => ({
  isRestricted: flags.some(({ flag }) => flag === "restrict"),
  objections: purposes.filter((purpose) => flags.some((row) => row.flag === "object" && row.purpose === purpose)),
});
