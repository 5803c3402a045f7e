import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { createFakeContext, type FakeContext } from "./fake-context.ts";
import { runCli } from "./run-cli.ts";

/*
 * The whole path: a file, the command, the collector, the log, the loader, ClickHouse. The files are those of docs/imports.md.
 */

const examples = fileURLToPath(new URL("../../../../examples/import/", import.meta.url));
const serverKey = "sk_import_test_000000";
const config = {
  sites: [
    {
      id: "shop",
      name: "Shop",
      timezone: "Europe/Amsterdam",
      origins: ["https://shop.example"],
      writeKeys: [{ key: "pk_import_test" }],
      serverKeys: [
        {
          hash: createHash("sha256").update(serverKey).digest("hex"),
          name: "files",
          basis: {
            purposes: ["necessary", "measurement", "profile"],
            basis: "contract",
            reason: "Orders are part of the contract.",
          },
        },
      ],
    },
  ],
};

let cwd = "";
let running: FakeContext;
let ended: Promise<number>;
let env: { [name: string]: string } = {};
let api = "";

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-import-"));
  await writeFile(join(cwd, "polder.config.json"), JSON.stringify(config));
  const anyPort = { POLDER_COLLECTOR_PORT: "0", POLDER_API_PORT: "0", POLDER_SQL_PORT: "0", POLDER_SHOP_PORT: "0" };
  running = createFakeContext({ cwd, env: anyPort });
  ended = runCli(["start"], running);
  await Promise.race([
    running.sees(/Ctrl-C drains/),
    ended.then((code) => Promise.reject(new Error(`ended with ${code}: ${running.complained()}`))),
  ]);
  const addressOf = (label: string): string =>
    new RegExp(`^ +${label} +(http\\S+)$`, "m").exec(running.printed())?.[1] ?? "http://none:1";
  const portOf = (label: string): string => new URL(addressOf(label)).port;
  api = addressOf("Live page");
  env = { POLDER_COLLECTOR_PORT: portOf("Collector"), POLDER_SQL_PORT: portOf("SQL"), POLDER_SERVER_KEY: serverKey };
});
afterAll(async () => {
  running.interrupt();
  await ended;
  await rm(cwd, { recursive: true, force: true });
});

async function polder(...args: string[]): Promise<{ code: number; printed: string; complained: string }> {
  const context = createFakeContext({ cwd, env });
  const code = await runCli(args, context);
  if (args[0] === "import") await settled();
  return { code, printed: context.printed(), complained: context.complained() };
}

/** The command waits for one view of what it sent, the API for none; when nothing waits in the log, all of them have it. */
const settled = (): Promise<void> =>
  vi.waitFor(
    async () => {
      const metrics = await (await fetch(`${api}/metrics`)).text();
      expect(/^polder_log_lag_records.*$/m.exec(metrics)?.[0]).toBe('polder_log_lag_records{topic="polder.events"} 0');
    },
    { timeout: 120_000 },
  );

const ask = <Row>(question: string): Promise<Row[]> =>
  rowsOf<Row>(`http://localhost:${env["POLDER_SQL_PORT"]}`, {}, question);

/** What analysts may not read. */
async function askAdmin<Row>(question: string): Promise<Row[]> {
  const file = await readFile(join(cwd, ".polder", "clickhouse", "engine.json"), "utf8");
  const { port, admin } = JSON.parse(file) as { port: number; admin: { username: string; password: string } };
  const who = { "x-clickhouse-user": admin.username, "x-clickhouse-key": admin.password };
  return rowsOf<Row>(`http://127.0.0.1:${port}`, who, question);
}

async function rowsOf<Row>(origin: string, headers: { [name: string]: string }, question: string): Promise<Row[]> {
  const url = `${origin}/?database=polder&default_format=JSONEachRow&output_format_json_quote_64bit_integers=0`;
  const response = await fetch(url, { method: "POST", headers, body: question });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Row);
}

/** All that a site owner would look at. */
const everything = async () => ({
  people: await ask("SELECT user_ids, events, orders, revenue, traits FROM people ORDER BY user_ids, traits['email']"),
  orders: await ask("SELECT order_id, day, amount, refunded, currency, times_sent FROM orders ORDER BY order_id"),
  events: await ask("SELECT name, count() AS count FROM events_v GROUP BY name ORDER BY name"),
});

const mapped = (kind: string): string[] =>
  kind === "contacts" || kind === "calls" ? ["--mapping", join(examples, `${kind}.mapping.json`)] : ["--yes"];
const importExample = (kind: string, ...more: string[]) =>
  polder("import", kind, join(examples, `${kind}.csv`), "--actor", "femke", ...mapped(kind), ...more);
const kinds = ["contacts", "orders", "returns", "tickets", "calls"];

it("looks before it sends: what the rows would be, who is new, and nothing is stored", async () => {
  const looked = await importExample("orders", "--dry-run");
  expect(looked).toMatchObject({ code: 0, complained: "" });
  expect(looked.printed).toContain('"event":"Order Completed"');
  expect(looked.printed).toMatch(/Order number +order_id/);
  expect(looked.printed).toMatch(/5 {2}rows read/);
  expect(looked.printed).toMatch(/9 {2}events would be new/);
  expect(looked.printed).toMatch(/3 {2}people who are new/);
  expect(looked.printed).toContain("Lawful basis: contract");
  expect(await ask("SELECT count() AS n FROM events_v WHERE library LIKE 'polder-import/%'")).toEqual([{ n: 0 }]);
});

it("imports every kind, and the same files a second time change nothing", async () => {
  for (const kind of kinds) expect(await importExample(kind)).toMatchObject({ code: 0, complained: "" });
  // Who called without a number of a customer is found by the number of the phone.
  await vi.waitFor(
    async () =>
      expect(await ask("SELECT count() AS n FROM people WHERE traits['phone'] = '+31612345678'")).toEqual([{ n: 1 }]),
    { timeout: 120_000 },
  );
  const first = await everything();
  expect(first.orders).toEqual([
    { order_id: "S-77", day: "2026-10-04", amount: 12, refunded: 0, currency: "EUR", times_sent: 1 },
    { order_id: "S-78", day: "2026-10-04", amount: 8.25, refunded: 0, currency: "EUR", times_sent: 1 },
    { order_id: "W-501", day: "2026-10-01", amount: 59.95, refunded: 0, currency: "EUR", times_sent: 1 },
    { order_id: "W-502", day: "2026-10-03", amount: 24.5, refunded: 0, currency: "EUR", times_sent: 1 },
    { order_id: "W-503", day: "2026-10-25", amount: 110, refunded: -35, currency: "EUR", times_sent: 1 },
  ]);
  const an = (first.people as { user_ids: string[]; traits: object; revenue: object; orders: number }[]).find(
    (person) => person.user_ids.includes("k-1001"),
  );
  expect(an).toMatchObject({
    orders: 2,
    revenue: { EUR: 134.95 },
    traits: {
      email: "an.devries@example.com",
      phone: "+31612345678",
      firstName: "An",
      lastName: "de Vries",
      birthday: "1980-05-31",
      newsletter: "true",
      loyaltyPoints: "120",
    },
  });
  expect(
    await ask(
      "SELECT toString(properties.recording) AS recording, toString(properties.duration_seconds) AS seconds, time FROM events_v WHERE name = 'Call Completed' ORDER BY time LIMIT 1",
    ),
  ).toEqual([{ recording: "archive://calls/2026/10/c-1.ogg", seconds: "725", time: "2026-10-11 06:40:05.000" }]);
  expect(
    await ask(
      "SELECT DISTINCT origin, basis, startsWith(library, 'polder-import/') AS ours, device FROM events_v ORDER BY origin",
    ),
  ).toEqual([
    { origin: "declared", basis: "contract", ours: 1, device: "server" },
    { origin: "observed", basis: "contract", ours: 1, device: "server" },
  ]);

  for (const kind of kinds) {
    const again = await importExample(kind);
    expect(again).toMatchObject({ code: 0, complained: "" });
    expect(again.printed).toMatch(/ 0 {2}events new/);
    expect(again.printed).toMatch(/ 0 {2}events taken by the collector/);
  }
  expect(await everything()).toEqual(first);

  expect(
    await ask(
      "SELECT kind, actor, file_name, basis, origin, rows, refused, sent, stored, isNull(finished_at) AS open FROM imports ORDER BY started_at",
    ),
  ).toEqual([
    {
      kind: "contacts",
      actor: "femke",
      file_name: "contacts.csv",
      basis: "contract",
      origin: "declared",
      rows: 4,
      refused: 0,
      sent: 4,
      stored: 4,
      open: 0,
    },
    {
      kind: "orders",
      actor: "femke",
      file_name: "orders.csv",
      basis: "contract",
      origin: "observed",
      rows: 5,
      refused: 0,
      sent: 9,
      stored: 9,
      open: 0,
    },
    {
      kind: "returns",
      actor: "femke",
      file_name: "returns.csv",
      basis: "contract",
      origin: "observed",
      rows: 1,
      refused: 0,
      sent: 1,
      stored: 1,
      open: 0,
    },
    {
      kind: "tickets",
      actor: "femke",
      file_name: "tickets.csv",
      basis: "contract",
      origin: "observed",
      rows: 3,
      refused: 0,
      sent: 5,
      stored: 5,
      open: 0,
    },
    {
      kind: "calls",
      actor: "femke",
      file_name: "calls.csv",
      basis: "contract",
      origin: "observed",
      rows: 2,
      refused: 0,
      sent: 4,
      stored: 4,
      open: 0,
    },
  ]);
});

it("answers the questions of docs/imports.md as the page says", async () => {
  const page = await readFile(new URL("../../../../docs/imports.md", import.meta.url), "utf8");
  const questions = [...page.matchAll(/^```sql\n((?:(?!^```)[\s\S])*)^```\n\n((?:^\|.*\n)+)/gm)];
  expect(questions).toHaveLength(3);
  for (const [, question = "", table = ""] of questions) {
    const rows = await ask<{ [column: string]: unknown }>(question);
    const [head = [], , ...wanted] = table
      .trim()
      .split("\n")
      .map((line) =>
        line
          .slice(1, -1)
          .split("|")
          .map((cell) => cell.trim()),
      );
    expect(rows.map((row) => head.map((column) => String(row[column])))).toEqual(wanted);
  }
});

it("changes what a corrected file corrects and nothing else, and says what no event can put right", async () => {
  const before = await everything();
  const text = await readFile(join(examples, "orders.csv"), "utf8");
  await writeFile(
    join(cwd, "orders.csv"),
    text
      .replace("59.95", "69.95")
      .replace(",Delft,0\nS-78", ",Gouda,0\nS-78")
      .replace("24.50", "20.00")
      .replace("8.25,EUR", "8.25,USD"),
  );
  const corrected = await polder("import", "orders", "orders.csv", "--yes", "--report", "refused.csv");
  expect(corrected.code).toBe(1);
  expect(await readFile(join(cwd, "refused.csv"), "utf8")).toMatch(
    /^line,column,reason,detail\n3,,amount_lowered,"[^"]+"\n5,,not_correctable,"[^"]+"\n$/,
  );
  const after = await everything();
  expect(after.orders).toEqual(
    (before.orders as { order_id: string }[]).map((order) =>
      order.order_id === "W-501" ? { ...order, amount: 69.95, times_sent: 2 } : order,
    ),
  );
  expect(after.events).toEqual(
    [
      ...(before.events as { name: string; count: number }[]).map((row) =>
        ["Order Completed", "Import Started", "Import Finished"].includes(row.name)
          ? { ...row, count: row.count + 1 }
          : row,
      ),
      { name: "Order Updated", count: 1 },
    ].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  );
  expect(after.people).toEqual(
    (
      before.people as { user_ids: string[]; revenue: { EUR: number }; events: number; traits: { email?: string } }[]
    ).map((person) => {
      if (person.user_ids.includes("k-1001")) return { ...person, events: person.events + 1, revenue: { EUR: 144.95 } };
      // Whose order moved to another store.
      return person.traits.email === "daan@example.com" ? { ...person, events: person.events + 1 } : person;
    }),
  );
  expect(await polder("import", "orders", "orders.csv", "--yes")).toMatchObject({ code: 1 });
  expect(await everything()).toEqual(after);
});

it("lets the newer file hold, whichever comes first, and takes a word back when it is said again", async () => {
  const cityOf = async (): Promise<unknown> =>
    (await ask<{ city: string }>("SELECT traits['city'] AS city FROM people WHERE has(user_ids, 'k-1')"))[0]?.city;
  const give = async (city: string, day: string) => {
    await writeFile(join(cwd, "contacts.csv"), `Customer ID,City\nk-1,${city}\n`);
    await utimes(join(cwd, "contacts.csv"), new Date(), new Date(day));
    expect(await polder("import", "contacts", "contacts.csv", "--yes")).toMatchObject({ code: 0 });
    return cityOf();
  };
  expect(await give("Delft", "2026-11-03")).toBe("Delft");
  expect(await give("Gouda", "2026-11-01")).toBe("Delft"); // an older file, late
  expect(await give("Leiden", "2026-11-05")).toBe("Leiden");
  expect(await give("Delft", "2026-11-03")).toBe("Leiden"); // the first file again
  expect(await give("Delft", "2026-11-07")).toBe("Delft"); // back to what it was
  expect(await ask("SELECT count() AS n FROM events_v WHERE user_id = 'k-1'")).toEqual([{ n: 4 }]);
});

it("joins the two ids of a row by an edge of its own kind, and states addresses as a server's word", async () => {
  await writeFile(join(cwd, "contacts.csv"), "Customer ID,Anonymous ID,Email\nk-9,device-9,nine@example.com\n");
  expect(await polder("import", "contacts", "contacts.csv", "--yes")).toMatchObject({ code: 0 });
  expect(
    await askAdmin("SELECT kind, rule, anonymous_id, user_id FROM identity_edge WHERE user_id = 'k-9' ORDER BY kind"),
  ).toEqual([
    { kind: "email", rule: "server", anonymous_id: "device-9", user_id: "k-9" },
    { kind: "import", rule: "import", anonymous_id: "device-9", user_id: "k-9" },
  ]);
});

it("can be stopped, and run again until all is in, each once", async () => {
  const lines = Array.from({ length: 1_800 }, (_, n) => `Z-${n},z-${n},z${n}@example.com,2026-11-01 10:00,1.50`);
  await writeFile(join(cwd, "many.csv"), ["Order number,Customer ID,Email,Order date,Total", ...lines, ""].join("\n"));
  const context = createFakeContext({ cwd, env });
  // So slowly that it is in the middle of it when it is told.
  const stopping = runCli(["import", "orders", "many.csv", "--yes", "--rate", "10"], context);
  await vi.waitFor(
    async () =>
      expect(await ask("SELECT count() > 0 AS isBegun FROM events WHERE startsWith(user_id, 'z-')")).toEqual([
        { isBegun: 1 },
      ]),
    { timeout: 120_000 },
  );
  context.interrupt();
  expect(await stopping).toBe(130);
  expect(context.printed()).toContain("Run the same again");
  const again = await polder("import", "orders", "many.csv", "--yes", "--rate", "100000");
  expect(again).toMatchObject({ code: 0, complained: "" });
  const counts =
    "SELECT countIf(name = 'Order Completed') AS orders, countIf(name = 'identify') AS contacts, uniqExact(message_id) AS messages, uniqExact(person_id) AS people FROM events_v WHERE startsWith(user_id, 'z-')";
  await vi.waitFor(
    async () => expect(await ask(counts)).toEqual([{ orders: 1_800, contacts: 1_800, messages: 3_600, people: 1_800 }]),
    {
      timeout: 120_000,
    },
  );
  expect((await polder("import", "orders", "many.csv", "--yes")).printed).toMatch(/ 3,600 {2}events known already/);
});

it("looks up people whatever their ids are", async () => {
  const odd = `x') OR 1=1 -- \\ " ë 🙂`;
  await writeFile(join(cwd, "odd.csv"), `Customer ID,City\n"${odd.replaceAll('"', '""')}",Delft\n`);
  expect((await polder("import", "contacts", "odd.csv", "--dry-run")).printed).toMatch(/1 {2}people who are new/);
  expect(await polder("import", "contacts", "odd.csv", "--yes")).toMatchObject({ code: 0 });
  expect((await polder("import", "contacts", "odd.csv", "--dry-run")).printed).toMatch(
    /0 {2}people who are new\n +1 {2}people who are known/,
  );
});

it("reports refused rows by line, column and reason without what is in them, and takes the others", async () => {
  await copyFile(join(examples, "orders-with-faults.csv"), join(cwd, "faults.csv"));
  const result = await polder("import", "orders", "faults.csv", "--yes", "--report", "refused.csv");
  expect(result.code).toBe(1);
  const report = (await readFile(join(cwd, "refused.csv"), "utf8")).trim().split("\n").slice(1);
  expect(report.map((line) => line.split(",").slice(0, 3).join(","))).toEqual([
    "3,Email,not_an_email",
    "4,Order date,ambiguous_time",
    "5,Total,ambiguous_number",
    "6,Order number,missing_cell",
    "7,Total,negative_amount",
    "8,,too_few_cells",
  ]);
  expect(report.join("\n")).not.toContain("bo at example.com");
  expect(await ask("SELECT order_id FROM orders WHERE startsWith(order_id, 'W-60')")).toEqual([{ order_id: "W-601" }]);
});

it("says before it sends anything what is wrong with a mapping, a key or a file", async () => {
  await writeFile(join(cwd, "strange.csv"), "Een,Twee\n1,2\n");
  expect(await polder("import", "orders", "strange.csv")).toMatchObject({
    code: 1,
    complained: expect.stringContaining("have nothing for order_id, time, total") as string,
  });
  expect(await polder("import", "orders", join(examples, "orders.csv"))).toMatchObject({
    code: 2,
    complained: expect.stringContaining("--yes") as string,
  });
  expect(
    await polder("import", "orders", join(examples, "orders.csv"), "--yes", "--key", "pk_import_test"),
  ).toMatchObject({
    code: 1,
    complained: expect.stringContaining("server key") as string,
  });
  expect(await polder("import", "orders", "gone.csv")).toMatchObject({
    code: 1,
    complained: "There is no gone.csv.\n",
  });
  expect(await polder("import", "people", "gone.csv")).toMatchObject({ code: 2 });
});

interface Report {
  isFinished: boolean;
  message: string;
  counts: { [name: string]: number };
  refused: { line: number; column: string; reason: string }[];
  events: { line: number; event: { event?: string } }[];
  code?: string;
}

async function upload(body: string, query: string, headers: { [name: string]: string } = { "x-write-key": serverKey }) {
  const response = await fetch(`${api}/v1/imports?${query}`, {
    method: "POST",
    body,
    headers: { "content-type": "text/csv", ...headers },
  });
  const report = (await response.json()) as Report;
  await settled();
  return { status: response.status, report };
}

it("does the same for who sends the file to the API, with the same report", async () => {
  const file = "Order number,Customer ID,Order date,Total\nA-1,k-7,2026-11-01 10:00,10.00\nA-2,k-7,soon,5.00\n";
  const looked = await upload(file, "kind=orders&dryRun=true", {});
  expect(looked).toMatchObject({
    status: 200,
    report: {
      isFinished: true,
      counts: { rows: 2, refusedRows: 1, new: 1, accepted: 0, newPeople: 1 },
      refused: [{ line: 3, column: "Order date", reason: "not_a_time" }],
      events: [{ line: 2, event: { event: "Order Completed" } }],
    },
  });
  expect(await ask("SELECT order_id FROM orders WHERE startsWith(order_id, 'A-')")).toEqual([]);

  const query = "kind=orders&mapping=auto&actor=crm&file=export.csv";
  expect(await upload(file, query)).toMatchObject({
    status: 200,
    report: { basis: "contract", counts: { new: 1, accepted: 1 } },
  });
  await vi.waitFor(
    async () => expect(await ask("SELECT stored FROM imports WHERE file_name = 'export.csv'")).toEqual([{ stored: 1 }]),
    { timeout: 120_000 },
  );
  expect(await ask("SELECT order_id FROM orders WHERE startsWith(order_id, 'A-')")).toEqual([{ order_id: "A-1" }]);
  expect(await upload(file, query)).toMatchObject({
    status: 200,
    report: { counts: { new: 0, known: 1, accepted: 0 } },
  });
  const { imports } = (await (await fetch(`${api}/v1/imports`)).json()) as { imports: object[] };
  expect(imports[0]).toMatchObject({
    kind: "orders",
    actor: "crm",
    fileName: "export.csv",
    basis: "contract",
    rows: 2,
    refused: 1,
    sent: 1,
    stored: 1,
  });

  // A late row of the same customer lands on the same person.
  const late = file.split("\n").slice(0, 1).concat("A-0,k-7,2026-10-01 10:00,2.50\n").join("\n");
  expect(await upload(late, query)).toMatchObject({ status: 200 });
  await vi.waitFor(
    async () =>
      expect(await ask("SELECT orders, revenue, first_seen FROM people WHERE has(user_ids, 'k-7')")).toEqual([
        { orders: 2, revenue: { EUR: 12.5 }, first_seen: "2026-10-01 08:00:00.000" },
      ]),
    { timeout: 120_000 },
  );
});

it.each([
  ["without a key", "kind=orders&mapping=auto&actor=a", {}, 400, "invalid_request"],
  [
    "with a public key",
    "kind=orders&mapping=auto&actor=a",
    { "x-write-key": "pk_import_test" },
    400,
    "invalid_request",
  ],
  ["without a name", "kind=orders&mapping=auto", undefined, 400, "invalid_request"],
  ["with a mapping nobody has looked at", "kind=orders&actor=a", undefined, 400, "invalid_request"],
  ["with a mapping that is none", "kind=orders&actor=a&mapping=%7B", undefined, 400, "invalid_request"],
  ["of an unknown kind", "kind=people&actor=a&mapping=auto", undefined, 400, "invalid_request"],
  ["in another type", "kind=orders&actor=a&mapping=auto", { "content-type": "text/plain" }, 415, "csv_required"],
  ["of another site", "kind=orders&dryRun=true&site=nowhere", {}, 404, "unknown_site"],
])("refuses a file %s, and stores nothing", async (_, query, headers, status, code) => {
  const before = await ask("SELECT count() AS n FROM events_v");
  expect(await upload("Order number,Order date,Total\nB-1,2026-11-01,1\n", query, headers)).toMatchObject({
    status,
    report: { code },
  });
  expect(await ask("SELECT count() AS n FROM events_v")).toEqual(before);
});

it("tells how far it came where a file breaks off, and refuses one that is too large for it", async () => {
  const broken = await upload(
    'Order number,Order date,Total\nB-2,2026-11-01,1\n"B-3,2026-11-01,1\n',
    "kind=orders&dryRun=true",
  );
  expect(broken).toMatchObject({
    status: 422,
    report: { isFinished: false, message: expect.stringContaining("line 3") as string },
  });
  const large = `Order number,Order date,Total\n${`B-4,2026-11-01,1${" ".repeat(1_000)}\n`.repeat(33_000)}`;
  expect(await upload(large, "kind=orders&dryRun=true")).toMatchObject({
    status: 413,
    report: { code: "import_too_large" },
  });
});

it("brings nobody back who was erased, and takes others of the same file", async () => {
  const give = async (...customers: string[]) => {
    await writeFile(
      join(cwd, "erased.csv"),
      ["Customer ID,City", ...customers.map((id) => `${id},Delft`), ""].join("\n"),
    );
    await utimes(join(cwd, "erased.csv"), new Date(), new Date("2026-11-10T12:00:00Z"));
    return polder("import", "contacts", "erased.csv", "--yes");
  };
  const known = () => ask("SELECT user_ids[1] AS id FROM people WHERE hasAny(user_ids, ['e-1', 'e-2']) ORDER BY id");
  expect(await give("e-1")).toMatchObject({ code: 0 });
  expect(await known()).toEqual([{ id: "e-1" }]);
  const atoms = (
    await ask<{ atom: number }>(
      "SELECT atom FROM import_row WHERE atom IN (SELECT atom FROM atom WHERE user_id = 'e-1')",
    )
  ).map(({ atom }) => atom);
  expect(atoms).toHaveLength(1);

  const erased = await fetch(`${api}/v1/people/e-1/erase`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ actor: "femke", reason: "asked by mail", by: "user" }),
  });
  expect(erased.status).toBe(202);
  expect(await ask(`SELECT count() AS n FROM import_row WHERE atom IN (${atoms.join()})`)).toEqual([{ n: 0 }]);
  // Hidden at once; what was imported is known until it is removed.
  const { erasure } = (await erased.json()) as { erasure: string };
  await vi.waitFor(
    async () => expect(await (await fetch(`${api}/v1/erasures/${erasure}`)).json()).toMatchObject({ state: "done" }),
    { timeout: 120_000 },
  );

  expect((await give("e-1", "e-2")).printed).toMatch(/2 {2}events taken by the collector/);
  await vi.waitFor(async () => expect(await (await fetch(`${api}/metrics`)).text()).toMatch(/outcome="erased"\} 1\b/), {
    timeout: 120_000,
  });
  await vi.waitFor(async () => expect(await known()).toEqual([{ id: "e-2" }]), { timeout: 120_000 });
});
