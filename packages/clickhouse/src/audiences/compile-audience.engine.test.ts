import { parseAudience, type AudienceDefinition } from "@polder/core";
import { rowBytes } from "@polder/core/contracts";
import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { personConsent } from "../consent/person-consent.ts";
import { reloadIdentities } from "../reload-identities.ts";
import { startTestDatabase, type TestDatabase } from "../test-support/start-test-database.ts";
import { compileAudience, compileAudiences, type AudienceContext } from "./compile-audience.ts";
import { evaluateAudience, type World } from "./evaluate-audience.test-support.ts";
import {
  atomsPerWorld,
  randomAudiences,
  randomDefinition,
  randomNow,
  randomWorld,
  timezone,
  type RandomWorld,
} from "./random-audience.test-support.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(() => database?.stop());

describe("the members of random audiences of random events", () => {
  let worlds = 0;

  /** Every world is a site of its own with atoms of its own: nothing has to be emptied between two. */
  const load = async ({ events, people, withdrawn }: RandomWorld): Promise<World> => {
    worlds += 1;
    const site = `world-${worlds}`;
    const base = worlds * atomsPerWorld;
    const numberOf = (atom: number): number => (atom === 0 ? 0 : base + atom);
    const persons = new Map(
      people.map((person, atom) => [
        numberOf(atom),
        // Atom 0 is nobody: who was joined to it stays alone. So does who was withdrawn.
        person === "erased"
          ? 0
          : person === 0 || withdrawn[atom] === true || withdrawn[person] === true
            ? numberOf(atom)
            : numberOf(person),
      ]),
    );
    const rows = events.map((row) => ({ ...row, site, atom: numberOf(row.atom) }));
    const nameless = withdrawn.flatMap((isIt, atom) => (isIt && atom !== 0 ? [numberOf(atom)] : []));
    await database.clickhouse.insertBytes("events", rowBytes(rows), {
      settings: { input_format_try_infer_dates: 0, input_format_try_infer_datetimes: 0 },
    });
    // As a withdrawal leaves it.
    await database.clickhouse.insertRows(
      "atom",
      nameless.map((atom) => ({ site, key: 0, atom })),
    );
    await database.clickhouse.command(
      "ALTER TABLE profile_state DELETE WHERE site = {site:String} AND atom IN {nameless:Array(UInt32)} SETTINGS mutations_sync = 2",
      { params: { site, nameless } },
    );
    const overrides = [...persons].filter(([atom, person]) => atom !== person);
    await database.clickhouse.insertRows(
      "identity",
      overrides.map(([atom, person]) => ({ site, atom, person, version: 1 })),
    );
    await reloadIdentities(database.clickhouse);
    const masks = await database.clickhouse.query<{ person_id: number; mask: number }>(
      `SELECT person_id, mask FROM ${personConsent()}`,
      { params: { site, now: randomNow } },
    );
    const maskOf = new Map(masks.map(({ person_id, mask }) => [person_id, mask]));
    return {
      site,
      now: randomNow,
      events: rows,
      audiences: randomAudiences,
      personOf: (atom) => persons.get(atom) ?? atom,
      isWithdrawn: (atom) => nameless.includes(atom),
      maskOf: (person) => maskOf.get(person) ?? 0,
    };
  };

  const contextOf = ({ site, now }: World): AudienceContext => ({
    site,
    now: new Date(now),
    timezone,
    audiences: randomAudiences,
    computedTraits: new Map(),
  });
  const membersOf = async (definition: AudienceDefinition, world: World): Promise<number[]> => {
    const { sql, params } = compileAudience(definition, contextOf(world));
    const rows = await database.clickhouse.query<{ person_id: number }>(sql, { params });
    return rows.map(({ person_id }) => person_id).toSorted((a, b) => a - b);
  };
  /** Of all of them by one statement, in which they share what they have in common. */
  const membersOfEach = async (definitions: readonly AudienceDefinition[], world: World): Promise<number[][]> => {
    const { sql, params } = compileAudiences(definitions, contextOf(world));
    const each = definitions.map((_, index) => `arraySort(bitmapToArray(a${index}))`);
    const [row] = await database.clickhouse.query<{ each: number[][] }>(
      `SELECT [${each.join(", ")}] AS each FROM (${sql})`,
      {
        params,
        settings: { max_query_size: 4_194_304 },
      },
    );
    return row!.each;
  };

  it("are those that reading the events one after another finds", async () => {
    let members = 0;
    let others = 0;
    await checkAsyncProperty(
      fc.asyncProperty(
        randomWorld,
        fc.array(randomDefinition, { minLength: 1, maxLength: 8, size: "max" }),
        async (random, definitions) => {
          const world = await load(random);
          const found = await Promise.all(definitions.map((definition) => membersOf(definition, world)));
          expect(await membersOfEach(definitions, world)).toEqual(found);
          for (const [index, definition] of definitions.entries()) {
            expect(parseAudience(structuredClone(definition))).toEqual({ ok: true, definition });
            const expected = evaluateAudience(definition, world);
            expect(found[index], JSON.stringify(definition)).toEqual(expected);
            members += expected.length;
            others += evaluateAudience({ people: { not: definition.people } }, world).length;
          }
        },
      ),
      25,
    );
    // Neither everybody nor nobody: else the comparison would say little.
    expect(members).toBeGreaterThan(100);
    expect(others).toBeGreaterThan(100);
    // Some hundred statements: a loaded machine is not a fault.
  });
});
