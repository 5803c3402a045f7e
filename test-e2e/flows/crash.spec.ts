import { expect, test } from "@playwright/test";
import { startLoad, type Load } from "../support/load.ts";
import { eventually, startStack, type Stack } from "../support/stack.ts";

test.describe.configure({ mode: "serial" });

let stack: Stack;
test.beforeEach(async () => {
  stack = await startStack();
});
test.afterEach(() => stack.remove());

const startShopLoad = (): Load =>
  startLoad({
    url: stack.collectorUrl,
    writeKey: stack.writeKey,
    origin: stack.shopUrl,
    clients: 6,
    eventsPerRequest: 5,
  });

/** Everything accepted is there once, nothing that was never sent, and every view says the same as the rows. */
async function expectExactlyOnce(load: Load): Promise<void> {
  await load.finish();
  expect(load.accepted.size).toBeGreaterThan(500);
  await eventually(
    () =>
      stack.sql<{ n: number }>(
        "SELECT uniqExact(message_id) AS n FROM polder.events WHERE anonymous_id LIKE 'visitor-%'",
      ),
    ([row]) => row!.n >= load.accepted.size,
  );
  const stored = await stack.sql<{ message_id: string }>(
    "SELECT message_id FROM polder.events WHERE anonymous_id LIKE 'visitor-%'",
  );
  const ids = new Set(stored.map((row) => row.message_id));
  expect(stored.length, "no event is stored twice").toBe(ids.size);
  expect(
    [...load.accepted].filter((id) => !ids.has(id)),
    "every accepted event is stored",
  ).toEqual([]);
  expect(
    [...ids].filter((id) => !load.sent.has(id)),
    "nothing is stored that was not sent",
  ).toEqual([]);

  // The views of an insert are filled some milliseconds after its table, one after the other.
  const [views] = await eventually(
    () =>
      stack.sql<Record<string, number>>(`
    SELECT
      (SELECT count() FROM polder.events) AS events,
      (SELECT sum(events) FROM polder.profile_state) AS in_profiles,
      (SELECT sum(events) FROM polder.audience_day WHERE dimension = 'event') AS in_audiences,
      (SELECT sum(events) FROM polder.session_state) AS in_sessions,
      (SELECT uniqExact(atom) FROM polder.events WHERE atom != 0) AS atoms,
      (SELECT uniqExact(atom) FROM polder.profile_state) AS atoms_in_profiles,
      (SELECT uniqExact(atom) FROM polder.atom) AS atoms_known,
      (SELECT uniqExact(site, anonymous_id, user_id) FROM polder.events WHERE atom != 0) AS keys,
      (SELECT groupBitmapMerge(atoms) FROM polder.audience_day WHERE dimension = 'event') AS atoms_in_audiences`),
    ([row]) =>
      Math.min(row!.in_profiles!, row!.in_audiences!, row!.in_sessions!) >= row!.events! &&
      Math.min(row!.atoms_in_profiles!, row!.atoms_known!, row!.atoms_in_audiences!) >= row!.atoms!,
  );
  expect(views!.in_profiles).toBe(views!.events);
  expect(views!.in_audiences).toBe(views!.events);
  expect(views!.in_sessions).toBe(views!.events);
  expect(views!.atoms, "one atom a visitor").toBe(views!.keys);
  expect([views!.atoms_in_profiles, views!.atoms_known, views!.atoms_in_audiences]).toEqual([
    views!.atoms,
    views!.atoms,
    views!.atoms,
  ]);
}

const reaches = (load: Load, count: number): Promise<number> =>
  eventually(
    async () => load.accepted.size,
    (size) => size >= count,
  );

test("everything answered 200 is stored exactly once when the process is killed three times under load", async () => {
  const load = startShopLoad();
  for (let round = 1; round <= 3; round++) {
    await reaches(load, load.accepted.size + 400);
    await stack.kill();
    await stack.start();
  }
  await reaches(load, load.accepted.size + 200);
  await expectExactlyOnce(load);
});

test("the engine killed three times under load costs freshness and nothing else", async () => {
  const load = startShopLoad();
  for (let round = 1; round <= 3; round++) {
    await reaches(load, load.accepted.size + 400);
    const before = stack.enginePid();
    process.kill(before, "SIGKILL");
    const accepted = load.accepted.size;
    await reaches(load, accepted + 100); // the collector goes on answering
    await eventually(
      async () => stack.enginePid(),
      (pid) => pid !== before,
    );
    await eventually(
      () => stack.sql<{ one: number }>("SELECT 1 AS one"),
      ([row]) => row?.one === 1,
    );
  }
  await expectExactlyOnce(load);
});

test("Ctrl-C drains, and the next start has everything", async () => {
  const load = startShopLoad();
  await reaches(load, 600);
  await load.finish();
  expect(await stack.stop()).toBe(0);
  await stack.start();
  await expectExactlyOnce(load);
});
