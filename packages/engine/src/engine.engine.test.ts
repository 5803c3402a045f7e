import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";

import { ask, type Credentials } from "./ask.ts";
import { startEngine, type Engine } from "./engine.ts";
import { findLibrary } from "./find-library.ts";

const folders: string[] = [];
const newFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "polder-engine-"));
  folders.push(folder);
  return folder;
};
const logLines: string[] = [];
const keep = (message: string, fields?: object): void => {
  logLines.push(JSON.stringify({ message, ...fields }));
};
const logger = { info: keep, warn: keep, error: keep };

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Looks again until the process is gone; the test's own time limit ends a wait in vain. */
const gone = async (pid: number): Promise<void> => {
  while (isAlive(pid)) await pause(10);
};

/** The server that was started on a folder, which may not answer yet. */
const processOf = async (folder: string): Promise<number | undefined> => {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid=,args="]);
  const line = stdout.split("\n").find((one) => one.includes(join(folder, "config.xml")));
  return line === undefined ? undefined : Number.parseInt(line, 10);
};

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

describe("the embedded engine", () => {
  let engine: Engine;
  let folder: string;
  const query = (sql: string, as: Credentials = engine.admin) => ask(engine.url, as, sql);
  const value = async (sql: string): Promise<string> => {
    const answer = await query(sql);
    if (!answer.ok) throw new Error(answer.text);
    return answer.text;
  };

  beforeAll(async () => {
    folder = await newFolder();
    engine = await startEngine({ dataPath: folder, logger });
    await value("CREATE DATABASE polder");
    await value("CREATE TABLE polder.kept (number UInt32) ENGINE = MergeTree ORDER BY number");
    await value("CREATE DATABASE private");
    await value("CREATE TABLE private.secret (number UInt32) ENGINE = MergeTree ORDER BY number");
  });
  afterAll(() => engine?.stop());

  it("is a ClickHouse server on the loopback", async () => {
    expect(engine.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await value("SELECT version(), timezone()")).toMatch(/^26\.7\.\d+\.\d+\tUTC$/);
  });

  it("keeps its files to their owner, with passwords as hashes where the server reads them", async () => {
    for (const name of ["config.xml", "users.xml", "engine.json"]) {
      const { mode } = await stat(join(folder, name));
      expect([name, mode & 0o777]).toEqual([name, 0o600]);
    }
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect((await readdir(folder)).toSorted()).toEqual(["config.xml", "data", "engine.json", "users.xml"]);
    const users = await readFile(join(folder, "users.xml"), "utf8");
    expect(users).not.toContain(engine.admin.password);
    expect(engine.admin.password.length).toBeGreaterThanOrEqual(32);
    expect(engine.admin.password).not.toBe(engine.analyst.password);
  });

  it("runs mutations and merges with its small pools", async () => {
    await value("CREATE TABLE private.mutated (number UInt32) ENGINE = MergeTree ORDER BY number");
    for (let part = 0; part < 5; part += 1) await value(`INSERT INTO private.mutated SELECT ${part}`);
    await value("ALTER TABLE private.mutated DELETE WHERE number = 3 SETTINGS mutations_sync = 1");
    await value("OPTIMIZE TABLE private.mutated FINAL");
    expect(await value("SELECT count(), uniqExact(_part) FROM private.mutated")).toBe("4\t1");
  });

  it("never lets anyone in as `default`", async () => {
    for (const sql of ["SELECT 1", "SELECT file('/etc/hostname')", "SYSTEM STOP LISTEN HTTP", "SHOW DATABASES"]) {
      expect(await query(sql, { username: "default", password: "" })).toMatchObject({ ok: false });
    }
  });

  it("lets nobody in without the right password", async () => {
    for (const username of [engine.admin.username, engine.analyst.username, "nobody"]) {
      expect(await query("SELECT 1", { username, password: "wrong" })).toMatchObject({ ok: false });
    }
  });

  it.each([
    "SELECT count() FROM polder.kept",
    "SELECT count() FROM kept",
    "SHOW TABLES",
    "SHOW CREATE TABLE polder.kept",
    "DESCRIBE TABLE polder.kept",
    "SELECT * FROM system.one",
    "SELECT sum(number) FROM numbers(10)",
    "SELECT name FROM system.databases",
    "SELECT name, comment FROM system.tables",
    "SELECT name, type, comment FROM system.columns",
    "SELECT name FROM system.functions",
    "SELECT name, value FROM system.settings",
    "SELECT name FROM system.formats",
    "SELECT name FROM system.data_type_families",
    "SELECT name FROM system.dictionaries",
    "SELECT table_name FROM information_schema.tables",
    "SELECT column_name FROM information_schema.columns",
    "EXPLAIN SELECT count() FROM polder.kept",
  ])("lets the analyst %s", async (sql) => {
    expect(await query(sql, engine.analyst)).toMatchObject({ ok: true });
  });

  it.each([
    "INSERT INTO polder.kept VALUES (1)",
    "CREATE TABLE polder.mine (number UInt32) ENGINE = Memory",
    "CREATE TEMPORARY TABLE mine (number UInt32)",
    "DROP TABLE polder.kept",
    "ALTER TABLE polder.kept DELETE WHERE 1",
    "SELECT * FROM private.secret",
    "SHOW CREATE TABLE private.secret",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1', 'private', 'secret')",
    "SELECT * FROM system.users",
    "SELECT * FROM system.processes",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "SYSTEM STOP LISTEN HTTP",
    "CREATE USER eve",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS max_execution_time = 3600",
    "SELECT 1 SETTINGS max_memory_usage = 0",
    "SELECT groupArray(number) FROM numbers(1000000000)",
    "SELECT number FROM numbers(2000000)",
  ])("does not let the analyst %s", async (sql) => {
    expect(await query(sql, engine.analyst)).toMatchObject({ ok: false });
  });

  it("shows the analyst only what they may read", async () => {
    const tables = await query(
      "SELECT database || '.' || name FROM system.tables WHERE database IN ('polder', 'private')",
      engine.analyst,
    );
    expect(tables).toEqual({ ok: true, text: "polder.kept" });
  });

  it("takes settings that ordinary clients send with an analyst's query", async () => {
    const settings =
      "enable_http_compression = 1, session_timezone = 'Europe/Amsterdam', max_execution_time = 29, max_result_rows = 10";
    expect(await query(`SELECT 1 SETTINGS ${settings}`, engine.analyst)).toEqual({ ok: true, text: "1" });
  });

  it("is back on the same port with all its data after kill -9, and says so", async () => {
    await value("INSERT INTO polder.kept SELECT number FROM numbers(1000)");
    for (let round = 1; round <= 2; round += 1) {
      const killed = engine.pid();
      if (killed === undefined) throw new Error("the engine is not running");
      const restarted = new Promise<void>((done) => engine.onRestart(done));
      process.kill(killed, "SIGKILL");
      await restarted;
      expect(engine.pid()).not.toBe(killed);
      expect(await value("SELECT count() FROM polder.kept")).toBe("1000");
    }
  });

  it("refuses a second engine on the same folder and leaves the first alone", async () => {
    await expect(startEngine({ dataPath: folder, logger })).rejects.toMatchObject({
      code: "data_path_in_use",
      message: expect.stringContaining(folder),
    });
    expect(await value("SELECT 1")).toBe("1");
  });

  it("never logs a password", () => {
    const text = logLines.join("\n");
    expect(text).toContain("engine restarted");
    expect(text).not.toContain(engine.admin.password);
    expect(text).not.toContain(engine.analyst.password);
  });
});

describe("starting and stopping", () => {
  const engines: Engine[] = [];
  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.stop();
  });

  it("stops within a second or two, and the next start has the data, the port and the passwords", async () => {
    const folder = await newFolder();
    const first = await startEngine({ dataPath: folder, logger });
    engines.push(first);
    await ask(first.url, first.admin, "CREATE DATABASE d");
    await ask(first.url, first.admin, "CREATE TABLE d.t ENGINE = MergeTree ORDER BY n AS SELECT 7 AS n");
    const pid = first.pid() ?? 0;
    const began = performance.now();
    await first.stop();
    // Five at most by its own clocks; the rest is room for a busy machine.
    expect(performance.now() - began).toBeLessThan(60_000);
    expect(isAlive(pid)).toBe(false);
    expect(first.pid()).toBeUndefined();

    const second = await startEngine({ dataPath: folder, logger });
    engines.push(second);
    expect([second.url, second.admin, second.analyst]).toEqual([first.url, first.admin, first.analyst]);
    expect(await ask(second.url, second.admin, "SELECT n FROM d.t")).toEqual({ ok: true, text: "7" });
  });

  it("stops while it is being restarted", async () => {
    const engine = await startEngine({ dataPath: await newFolder(), logger });
    engines.push(engine);
    const pid = engine.pid() ?? 0;
    process.kill(pid, "SIGKILL");
    await engine.stop();
    expect(engine.pid()).toBeUndefined();
    expect(await ask(engine.url, engine.admin, "SELECT 1")).toMatchObject({ ok: false });
  });

  it("leaves no orphan when its parent is killed, and the folder can be used again at once", async () => {
    const folder = await newFolder();
    const entry = fileURLToPath(new URL("../child.mjs", import.meta.url));
    // A start and a stop leave a complete configuration; then a parent that only spawns what we spawn is killed.
    const prepared = await startEngine({ dataPath: folder, logger });
    await prepared.stop();
    const script = `
      const { spawn } = require("node:child_process");
      const child = spawn(process.execPath, [${JSON.stringify(entry)}, ${JSON.stringify(findLibrary())}, ${JSON.stringify(join(folder, "config.xml"))}, ${JSON.stringify(new URL(prepared.url).port)}, String(process.pid)], { detached: true, stdio: "ignore" });
      process.stdout.write(String(child.pid));
      setInterval(() => undefined, 60_000);`;
    const parent = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const orphan = await new Promise<number>((done) =>
      parent.stdout.once("data", (text: Buffer) => done(Number(text.toString()))),
    );
    while (!(await ask(prepared.url, prepared.admin, "SELECT 1")).ok) await pause(10);
    const parentGone = once(parent, "exit");
    parent.kill("SIGKILL");
    await parentGone;
    const engine = await startEngine({ dataPath: folder, logger });
    engines.push(engine);
    await gone(orphan);
    expect(await ask(engine.url, engine.admin, "SELECT 1")).toEqual({ ok: true, text: "1" });
  });

  const squat = (url: string): Promise<Server | undefined> =>
    new Promise((done) => {
      const server = createServer((_, response) => response.writeHead(404).end());
      server.once("error", () => done(undefined)).once("listening", () => done(server));
      server.listen(Number(new URL(url).port), "127.0.0.1");
    });
  const leave = (squatter: Server): Promise<unknown> => {
    squatter.closeAllConnections();
    return new Promise((done) => squatter.close(done));
  };

  it("starts on another port when somebody takes the one that it had before it does", async () => {
    const folder = await newFolder();
    let engine = await startEngine({ dataPath: folder, logger });
    let before = "";
    let squatter: Server | undefined;
    // On a busy machine it may have its port before we do: then once more.
    while (squatter === undefined) {
      before = engine.url;
      await engine.stop();
      const starting = startEngine({ dataPath: folder, logger });
      let pid: number | undefined;
      while (pid === undefined) pid = await processOf(folder);
      process.kill(pid, "SIGSTOP");
      squatter = await squat(before);
      // However long that took.
      const clock = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 60_000);
      process.kill(pid, "SIGCONT");
      engine = await starting.finally(() => clock.mockRestore());
    }
    engines.push(engine);
    await leave(squatter);
    expect(engine.url).not.toBe(before);
    expect(await ask(engine.url, engine.admin, "SELECT 1")).toEqual({ ok: true, text: "1" });
  });

  it("goes on trying while another process has its port", async () => {
    const engine = await startEngine({ dataPath: await newFolder(), logger });
    engines.push(engine);
    const failures = (): number => logLines.filter((line) => line.includes("engine did not restart")).length;
    const failuresBefore = failures();
    const restarted = new Promise<void>((done) => engine.onRestart(done));
    process.kill(engine.pid() ?? 0, "SIGKILL");
    let squatter: Server | undefined;
    while (squatter === undefined) squatter = await squat(engine.url);
    while (failures() === failuresBefore) await pause(10);
    expect(engine.pid()).toBeUndefined();
    await leave(squatter);
    await restarted;
    expect(await ask(engine.url, engine.admin, "SELECT 1")).toEqual({ ok: true, text: "1" });
  });

  it("ends what an analyst asks when it takes longer than it may", async () => {
    const limits = { maxExecutionSeconds: 1 };
    const engine = await startEngine({ dataPath: await newFolder(), logger, analyst: { limits } });
    engines.push(engine);
    await ask(engine.url, engine.admin, "CREATE DATABASE polder");
    const slow = "SELECT sum(sleepEachRow(0.5)) FROM numbers(400) SETTINGS max_block_size = 1, max_threads = 1";
    expect(await ask(engine.url, engine.analyst, slow)).toEqual({
      ok: false,
      text: expect.stringContaining("TIMEOUT_EXCEEDED") as string,
    });
  });

  it("makes new passwords when the file with them is damaged", async () => {
    const folder = await newFolder();
    await writeFile(join(folder, "engine.json"), '{"port":');
    const engine = await startEngine({ dataPath: folder, logger });
    engines.push(engine);
    expect(JSON.parse(await readFile(join(folder, "engine.json"), "utf8"))).toMatchObject({ admin: engine.admin });
    expect(await ask(engine.url, engine.admin, "SELECT 1")).toEqual({ ok: true, text: "1" });
  });

  it("says which folder it cannot use", async () => {
    const folder = await newFolder();
    const file = join(folder, "file");
    await writeFile(file, "");
    await expect(startEngine({ dataPath: join(file, "data"), logger })).rejects.toMatchObject({
      code: "data_path_unusable",
      message: expect.stringContaining(join(file, "data")),
    });
  });

  it("gives the server's own words when it does not start", async () => {
    const folder = await newFolder();
    await expect(startEngine({ dataPath: folder, logger, maxMemoryBytes: -1 })).rejects.toMatchObject({
      code: "start_failed",
      message: expect.stringContaining(folder),
    });
  });
});
