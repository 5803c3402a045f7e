import { writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { refusedNames } from "./judge-statement.ts";
import { startProxiedEngine, type ProxiedEngine } from "./proxied-engine.test-support.ts";

const secret = "mayfly-4711-secret";
let running: ProxiedEngine;
let path: string;
let outside: Server;
let outsideUrl: string;
let visitors = 0;

beforeAll(async () => {
  running = await startProxiedEngine();
  path = join(running.folder, "secret.txt");
  await writeFile(path, `${secret}\n`);
  outside = createServer((socket) => {
    visitors++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => outside.listen(0, "127.0.0.1", resolve));
  outsideUrl = `http://127.0.0.1:${(outside.address() as AddressInfo).port}/x.csv`;
});
afterAll(async () => {
  outside.close();
  await running.close();
});

const ask = async (
  statement: string,
  parameters: Record<string, string> = {},
): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`${running.url}/?${new URLSearchParams(parameters).toString()}`, {
    method: "POST",
    body: statement,
  });
  return { status: answer.status, text: await answer.text() };
};

/** What the engine would do without the proxy: shows that the attack is a real one. */
const askEngine = async (statement: string, parameters: Record<string, string> = {}): Promise<string> => {
  const { username, password } = running.engine.analyst;
  const answer = await fetch(`${running.engine.url}/?${new URLSearchParams(parameters).toString()}`, {
    method: "POST",
    body: statement,
    headers: { "x-clickhouse-user": username, "x-clickhouse-key": password },
  });
  return answer.text();
};

describe("reading a server's file", () => {
  const f = () => `'${path}'`;
  const leaks: [string, () => string, Record<string, string>?][] = [
    ["plainly", () => `SELECT file(${f()})`],
    ["with spaces and comments", () => `SELECT file /* a */ -- b\n (${f()})`],
    ["in back quotes", () => `SELECT \`file\`(${f()})`],
    ["in double quotes", () => `SELECT "file"(${f()})`],
    ["with an escape in the name", () => `SELECT \`fi\\x6ce\`(${f()})`],
    ["in a subquery", () => `SELECT * FROM (SELECT file(${f()}) AS x)`],
    ["in WITH", () => `WITH file(${f()}) AS x SELECT x`],
    ["in a WITH subquery", () => `WITH x AS (SELECT file(${f()})) SELECT * FROM x`],
    ["in a lambda", () => `SELECT arrayMap(x -> file(${f()}), [1])`],
    ["as a function that is handed over", () => `SELECT arrayMap(file, [${f()}])`],
    ["as a function that is handed over in quotes", () => `SELECT arrayMap(\`file\`, [${f()}])`],
    ["as a parameter", () => `SELECT arrayMap({f:Identifier}, [${f()}])`, { param_f: "file" }],
    ["as APPLY", () => `SELECT * APPLY(file) FROM (SELECT ${f()} AS x)`],
    ["as APPLY without brackets", () => `SELECT * APPLY file FROM (SELECT ${f()} AS x)`],
    ["as APPLY in quotes", () => `SELECT * APPLY(\`file\`) FROM (SELECT ${f()} AS x)`],
    ["as APPLY with a lambda", () => `SELECT * APPLY(x -> file(x)) FROM (SELECT ${f()} AS x)`],
    [
      "as APPLY with a parameter",
      () => `SELECT * APPLY(x -> arrayMap({f:Identifier}, [x])) FROM (SELECT ${f()} AS x)`,
      { param_f: "file" },
    ],
    ["in EXPLAIN", () => `EXPLAIN SELECT file(${f()})`],
    ["in view()", () => `SELECT * FROM view(SELECT file(${f()}))`],
    ["in a column structure", () => `SELECT a FROM values('b Int32, a String ALIAS file(\\'${path}\\')', 1)`],
    [
      "in a column structure of random rows",
      () => `SELECT a FROM generateRandom('b Int32, a String ALIAS file(\\'${path}\\')') LIMIT 1`,
    ],
    [
      "in a structure put together",
      () => `SELECT a FROM generateRandom('b Int32, a String ALIAS fi' || 'le(\\'${path}\\')') LIMIT 1`,
    ],
    [
      "in a structure as a parameter",
      () => "SELECT a FROM values({s:String}, 1)",
      { param_s: "b Int32, a String ALIAS file('$PATH')" },
    ],
    [
      "in a structure that APPLY hides",
      () =>
        `SELECT * APPLY(x -> (SELECT a FROM values('b Int32, a String ALIAS fi\\x6ce(\\'${path}\\')', 1))) FROM (SELECT 1)`,
    ],
    ["in a condition", () => `SELECT 1 WHERE file(${f()}) LIKE '%mayfly%'`],
    ["in an error", () => `SELECT throwIf(1, file(${f()}))`],
    ["in LIMIT", () => `SELECT number FROM numbers(100) LIMIT length(file(${f()}))`],
    ["in a set operation", () => `SELECT 'x' UNION ALL SELECT file(${f()})`],
    ["without SELECT", () => `file(${f()})`],
    ["FROM first", () => `FROM (SELECT file(${f()}))`],
    [
      "FROM first with a false tree",
      () =>
        `FROM (SELECT 'SelectWithUnionQuery' AS EXPLAIN, a FROM generateRandom('b Int8, a String ALIAS file(\\'${path}\\')') LIMIT 1)`,
    ],
    ["in another format", () => `SELECT file(${f()}) FORMAT JSON`],
    ["after an alias with a line break", () => `SELECT 1 AS \`x\n SelectQuery\`, file(${f()})`],
    ["after a zero byte", () => `SELECT 1 \0, file(${f()})`],
    ["in SHOW", () => `SHOW TABLES FROM polder WHERE file(${f()}) LIKE '%mayfly%'`],
  ];
  it.each(leaks)("%s is refused", async (_, statement, given = {}) => {
    const parameters = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, value.replace("$PATH", path)]),
    );
    const { status, text } = await ask(statement(), parameters);
    expect(text).not.toContain("mayfly-4711");
    expect({ status, text }).toMatchObject({
      status: 403,
      text: expect.stringMatching(/^Code: 497\. DB::Exception: .+\(ACCESS_DENIED\)/),
    });
  });

  it.each([
    ["SELECT file('$PATH')"],
    ["SELECT * APPLY(file) FROM (SELECT '$PATH' AS x)"],
    ["SELECT arrayMap(file, ['$PATH'])"],
    ["SELECT a FROM values('b Int32, a String ALIAS file(\\'$PATH\\')', 1)"],
    ["SELECT a FROM generateRandom('b Int32, a String ALIAS file(\\'$PATH\\')') LIMIT 1"],
  ])("the engine itself would allow %s", async (statement) => {
    expect(await askEngine(statement.replace("$PATH", path))).toContain(secret);
  });

  it("is refused in every way that the engine already knows", async () => {
    const statements = [
      `SELECT * FROM file('${path}', 'LineAsString')`,
      `SELECT * FROM \`${path}\``,
      `DESCRIBE file('${path}', 'LineAsString')`,
      `SELECT 1 INTO OUTFILE '${path}.copy'`,
      `INSERT INTO FUNCTION file('${path}.copy', 'TSV', 'a String') VALUES ('x')`,
      `INSERT INTO polder.visit FROM INFILE '${path}' FORMAT TSV`,
      `SELECT * FROM executable('cat ${path}', 'TSV', 'a String')`,
      `SELECT 1 SETTINGS format_schema = '${path}' FORMAT Template`,
      `CREATE VIEW polder.v AS SELECT file('${path}')`,
      `CREATE TABLE polder.f (a String) ENGINE = File(LineAsString, '${path}')`,
      `CREATE FUNCTION leak AS x -> file(x)`,
      `SELECT 1; SELECT file('${path}')`,
    ];
    for (const statement of statements) {
      const { status, text } = await ask(statement);
      expect(text, statement).not.toContain("mayfly-4711");
      expect(status, `${statement}: ${text}`).toBeGreaterThanOrEqual(400);
    }
  });

  it("every function of the engine that gives a file's content or calls an address is on the list", async () => {
    const names = (
      await running.asAdmin("SELECT name FROM system.functions WHERE NOT is_aggregate AND alias_to = '' ORDER BY name")
    )
      .trim()
      .split("\n");
    expect(names.length).toBeGreaterThan(1_000);
    const guilty: string[] = [];
    for (const name of names) {
      if (refusedNames.has(name.toLowerCase())) {
        expect((await ask(`SELECT ${name}('${path}')`)).status, name).toBe(403);
        continue;
      }
      // One statement for each list of arguments: one that cannot be evaluated must not hide the others.
      const lists = [`'${path}'`, `'${path}', 1`, `'${outsideUrl}'`, `'${outsideUrl}', 'a', 'b'`];
      const answers = await Promise.all(lists.map((list) => askEngine(`SELECT toString(${name}(${list}))`)));
      if (answers.some((answer) => answer.includes("mayfly-4711"))) guilty.push(name);
    }
    expect(guilty).toEqual([]);
    expect(visitors).toBe(0);
  });

  it("no table function of the engine gives a file's content or calls an address", async () => {
    const names = (await running.asAdmin("SELECT name FROM system.table_functions ORDER BY name")).trim().split("\n");
    expect(names.length).toBeGreaterThan(50);
    for (const name of names) {
      for (const text of [path, outsideUrl]) {
        for (const rest of ["", ", 'LineAsString'", ", 'CSV', 'a String'", ", 'x', 'y', 'z', 'w'"]) {
          const { text: answer } = await ask(`SELECT * FROM ${name}('${text}'${rest}) LIMIT 1`);
          expect(answer, name).not.toContain("mayfly-4711");
        }
      }
    }
    expect(visitors).toBe(0);
  });
});

describe("what may not be changed or seen", () => {
  it.each([
    ["INSERT INTO polder.visit VALUES ('a', '2026-01-01', 1)"],
    ["CREATE TABLE polder.x (a Int8) ENGINE = Memory"],
    ["CREATE TEMPORARY TABLE x (a Int8)"],
    ["DROP TABLE polder.visit"],
    ["ALTER TABLE polder.visit DELETE WHERE 1"],
    ["DELETE FROM polder.visit WHERE 1"],
    ["TRUNCATE TABLE polder.visit"],
    ["OPTIMIZE TABLE polder.visit"],
    ["SYSTEM SHUTDOWN"],
    ["SYSTEM RELOAD DICTIONARIES"],
    ["KILL QUERY WHERE 1"],
    ["GRANT ALL ON *.* TO analyst"],
    ["SET readonly = 0"],
    ["SET param_f = 'file'"],
    ["SET profile = 'default'"],
    ["SET ROLE x"],
    ["SELECT 1 SETTINGS readonly = 0"],
    ["SELECT 1 SETTINGS max_execution_time = 100000"],
    ["SELECT 1 SETTINGS allow_experimental_eval_table_function = 1"],
    ["SELECT * FROM eval('SELECT 1')"],
    ["SELECT * FROM system.processes"],
    ["SELECT * FROM system.users"],
    ["SELECT * FROM system.server_settings"],
    ["SHOW PROCESSLIST"],
    ["SHOW USERS"],
    ["EXECUTE AS polder SELECT 1"],
    ["EXPLAIN INSERT INTO polder.visit SELECT 'a', '2026-01-01', 1"],
    ["EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:9', 'a', 'b', 'c', 'd') PARTITION BY 1"],
    ["SELECT * FROM polder.visit; DROP TABLE polder.visit"],
    ["optimize = 1 SELECT 1"],
    ["graph = 1, optimize = 1 SELECT 1"],
    [""],
    ["-- nothing"],
    [", 1 AS x"],
    ["SELEC 1"],
    ["SELECT getServerPort('http_port')"],
    ["SELECT getServerSetting('path')"],
    ["SELECT filesystemAvailable()"],
    ["SELECT logTrace('x')"],
    ["SELECT * FROM cluster('default', system.one)"],
    ["SELECT * FROM remote('127.0.0.1', system.one)"],
    ["SELECT * FROM url('http://127.0.0.1:9/', CSV)"],
  ])("%s is refused", async (statement) => {
    const { status, text } = await ask(statement);
    expect(status, text).toBeGreaterThanOrEqual(400);
    expect(text).toMatch(/^Code: \d+\. DB::Exception: /);
  });

  it("left everything as it was", async () => {
    expect(await running.asAdmin("SELECT count() FROM polder.visit")).toBe("1000\n");
    expect(await running.asAdmin("SELECT name FROM system.tables WHERE database = 'polder'")).toBe("visit\n");
  });

  it("sees no other database", async () => {
    await running.asAdmin("CREATE DATABASE IF NOT EXISTS private_notes");
    await running.asAdmin("CREATE TABLE IF NOT EXISTS private_notes.page (text String) ENGINE = Memory");
    await running.asAdmin(`INSERT INTO private_notes.page VALUES ('${secret}')`);
    expect((await ask("SELECT * FROM private_notes.page")).status).toBeGreaterThanOrEqual(400);
    expect((await ask("SHOW DATABASES")).text).not.toContain("private_notes");
    expect((await ask("SELECT name FROM system.tables")).text).not.toContain("page");
    expect((await ask("SELECT * FROM merge('private_notes', '.*')")).text).not.toContain(secret);
    expect((await ask("SELECT hasColumnInTable('private_notes', 'page', 'text')")).status).toBeGreaterThanOrEqual(400);
  });

  it.each([
    [{ profile: "default" }],
    [{ role: "x" }],
    [{ readonly: "0" }],
    [{ max_execution_time: "0" }],
    [{ max_memory_usage: "0" }],
    [{ max_memory_usage: "99999999999" }],
    [{ additional_result_filter: "1 = 0" }],
    [{ format_schema: "/etc/passwd" }],
    [{ dialect: "kusto" }],
    [{ allow_experimental_eval_table_function: "1" }],
    [{ decompress: "1" }],
    [{ no_such_setting: "1" }],
  ])("the parameter %j is refused", async (parameters) => {
    const { status, text } = await ask("SELECT 1", parameters);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(text).toMatch(/^Code: \d+\. DB::Exception: /);
  });
});

describe("what analysts write every day is allowed", () => {
  it.each([
    ["SELECT 1"],
    ["  -- a comment\nSELECT /* another */ 1;"],
    [
      "SELECT count(), uniq(day), max(views) FROM polder.visit WHERE site = 'shop' AND views BETWEEN 1 AND 10 GROUP BY site HAVING count() > 0",
    ],
    [
      "WITH x AS (SELECT day, sum(views) AS v FROM polder.visit GROUP BY day) SELECT *, v / sum(v) OVER () FROM x ORDER BY day LIMIT 5",
    ],
    ["WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r"],
    ["SELECT * EXCEPT(site) REPLACE(views * 2 AS views) FROM polder.visit LIMIT 1"],
    ["SELECT * APPLY(max) FROM polder.visit"],
    ["SELECT COLUMNS('views') APPLY(quantile(0.9)) FROM polder.visit"],
    ["SELECT arrayMap(x -> x + 1, groupArray(views)) FROM polder.visit"],
    [
      "SELECT day, groupArray(views)[1], tuple(1, 2).1, CAST(views AS String), views::Float64, CASE WHEN views > 1 THEN 'a' ELSE 'b' END FROM polder.visit GROUP BY day, views LIMIT 2 BY day LIMIT 10",
    ],
    [
      "SELECT a.day FROM polder.visit AS a INNER JOIN polder.visit AS b USING (day) ARRAY JOIN [1, 2] AS n WHERE a.day IN (SELECT day FROM polder.visit) LIMIT 1",
    ],
    ["SELECT windowFunnel(3600)(toDateTime(day), views = 1, views = 2) FROM polder.visit"],
    ["SELECT day FROM polder.visit GROUP BY day WITH TOTALS ORDER BY day WITH FILL STEP 1 LIMIT 3"],
    [
      "SELECT sum(views) OVER w FROM polder.visit WINDOW w AS (PARTITION BY site ORDER BY day) QUALIFY sum(views) OVER w > 1 LIMIT 1",
    ],
    ["SELECT 1 INTERSECT SELECT 1 UNION DISTINCT SELECT 2"],
    ["SELECT n.number FROM numbers(10) AS n, view(SELECT 1 AS x) AS v"],
    ["SELECT * FROM values('a Int32, b String', (1, 'x'), (2, 'y'))"],
    ["SELECT * FROM (VALUES (1, 'x'), (2, 'y'))"],
    ["SELECT v.file FROM values('file String', 'a.pdf') AS v"],
    ["SELECT {p:UInt32} + 1, {q:Array(String)}", { param_p: "4", param_q: "['file','x']" }],
    ["SELECT count() FROM {d:Identifier}.{t:Identifier}", { param_d: "polder", param_t: "visit" }],
    ["EXPLAIN SELECT count() FROM polder.visit"],
    ["EXPLAIN PIPELINE SELECT 1"],
    ["EXPLAIN AST SELECT 1"],
    ["EXPLAIN indexes = 1 SELECT count() FROM polder.visit WHERE site = 'x'"],
    ["DESCRIBE TABLE polder.visit"],
    ["DESC (SELECT 1 AS x)"],
    ["SHOW TABLES FROM polder LIKE 'v%'"],
    ["SHOW CREATE TABLE polder.visit"],
    ["SHOW DATABASES"],
    ["SHOW COLUMNS FROM polder.visit"],
    ["EXISTS TABLE polder.visit"],
    ["SELECT name, type, comment FROM system.columns WHERE database = 'polder'"],
    ["SELECT version(), currentUser(), timezone(), uptime() > 0"],
    ["SELECT 'file(''/etc/passwd'')' AS text, 'SELECT 1; SELECT 2'"],
    ["SELECT 1 SETTINGS max_threads = 1, join_use_nulls = 1"],
    ["FROM polder.visit SELECT count()"],
    ["(SELECT 1)"],
  ] as [string, Record<string, string>?][])("%s", async (statement, parameters) => {
    const { status, text } = await ask(statement, parameters);
    expect(status, text).toBe(200);
    expect(text).not.toBe("");
  });

  it("tells where a mistake is, in the engine's words and counted from the statement's own start", async () => {
    const statement = "SELECT 1 +* 2";
    const own = await askEngine(statement);
    const { status, text } = await ask(statement);
    expect(status).toBe(400);
    expect(text).toBe(own);
  });
});
