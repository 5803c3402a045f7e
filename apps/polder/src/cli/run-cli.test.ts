import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseConfig } from "@polder/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hashOfKey } from "../keys.ts";
import { createFakeContext } from "./fake-context.ts";
import { commands, runCli } from "./run-cli.ts";

let cwd = "";
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-cli-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const run = async (args: string[], options: Omit<Parameters<typeof createFakeContext>[0], "cwd"> = {}) => {
  const context = createFakeContext({ cwd, ...options });
  const code = await runCli(args, context);
  return { code, out: context.printed(), err: context.complained() };
};
const configText = () => readFile(join(cwd, "polder.config.json"), "utf8");
const config = async () => {
  const result = parseConfig(await configText());
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
};
const init = (...more: string[]) =>
  run(["init", "--origin", "https://shop.example", "--timezone", "Europe/Amsterdam", "--yes", ...more]);

describe("polder", () => {
  it("lists its commands, and says so with 2 when none was given", async () => {
    const { code, out } = await run([]);
    expect(code).toBe(2);
    for (const command of commands) expect(out).toContain(command.name);
    expect((await run(["--help"])).code).toBe(0);
  });

  it.each(commands.map(({ name }) => name))("%s --help prints its usage and does nothing", async (name) => {
    const { code, out, err } = await run([name, "--help"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(`Usage: polder ${name}`);
    expect((await run(["help", name])).out).toBe(out);
  });

  it("ends with 2 and a pointer to the help for what it does not know", async () => {
    expect(await run(["begin"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("There is no command “begin”"),
    });
    for (const args of [
      ["init", "--colour", "red"],
      ["start", "now"],
      ["start", "--collector-port"],
      ["doctor", "--api-port", "http"],
      ["key"],
      ["key", "add"],
    ]) {
      const { code, err } = await run(args);
      expect([args, code]).toEqual([args, 2]);
      expect(err).toMatch(/--help` to see how it is written/);
    }
  });

  it("says which variable is wrong", async () => {
    expect(await run(["doctor"], { env: { POLDER_API_PORT: "82000" } })).toMatchObject({
      code: 1,
      err: expect.stringContaining("POLDER_API_PORT"),
    });
    expect(await run(["sql", "SELECT 1"], { env: { CLICKHOUSE_URL: "localhost" } })).toMatchObject({
      code: 1,
      err: expect.stringContaining("CLICKHOUSE_URL"),
    });
  });
});

describe("init", () => {
  it("makes a configuration, prints the tag with its key, and stores the server key as a hash only", async () => {
    const { code, out, err } = await init("--name", "Shop");
    expect([code, err]).toEqual([0, ""]);
    const [site] = (await config()).sites;
    expect(site).toMatchObject({
      id: "shop-example",
      name: "Shop",
      timezone: "Europe/Amsterdam",
      origins: ["https://shop.example"],
      regime: "opt_in",
    });
    expect(out).toContain(
      `<script async src="http://localhost:8081/polder.js" data-site="${site?.writeKeys[0]?.key}"></script>`,
    );
    const [serverKey = ""] = /sk_[\w-]{43}/.exec(out) ?? [];
    expect(site?.serverKeys[0]?.hash).toBe(hashOfKey(serverKey));
    expect(await configText()).not.toContain(serverKey);
  });

  it("makes other keys each time", async () => {
    await init();
    await init("--config", "other.json");
    const other = parseConfig(await readFile(join(cwd, "other.json"), "utf8"));
    expect(other.ok && other.config.sites[0]?.writeKeys[0]?.key).not.toBe((await config()).sites[0]?.writeKeys[0]?.key);
  });

  it("never overwrites", async () => {
    await init();
    const before = await configText();
    expect(await init()).toMatchObject({ code: 1, err: expect.stringContaining("is there already") });
    expect(await configText()).toBe(before);
  });

  it("asks on a terminal, proposes what it can guess, and takes flags as answered", async () => {
    await run(["init", "--timezone", "UTC"], { answers: ["https://www.kaas.example", "", "Kaas"] });
    expect((await config()).sites[0]).toMatchObject({ id: "kaas-example", name: "Kaas", timezone: "UTC" });
  });

  it("makes nothing of bad answers, and says which flag", async () => {
    expect(await run(["init", "--origin", "shop.example", "--timezone", "Mars/Base", "--yes"])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--timezone must be[^]*--origin must be|--origin must be[^]*--timezone must be/),
    });
    expect(await run(["init", "--yes"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("--origin is missing"),
    });
    await expect(configText()).rejects.toThrow("ENOENT");
  });
});

describe("key", () => {
  it("adds, lists and revokes, and keeps the rest of the file", async () => {
    await init();
    await writeFile(
      join(cwd, "polder.config.json"),
      JSON.stringify({ ...JSON.parse(await configText()), countryHeader: "cf-ipcountry" }),
    );
    await chmod(join(cwd, "polder.config.json"), 0o600);
    const write = (await run(["key", "add", "write", "--name", "app"])).out.trim();
    const server = (await run(["key", "add", "server", "--name", "erp"])).out.trim();
    expect(await config()).toMatchObject({
      countryHeader: "cf-ipcountry",
      sites: [
        { writeKeys: [{}, { key: write, name: "app" }], serverKeys: [{}, { hash: hashOfKey(server), name: "erp" }] },
      ],
    });
    expect((await stat(join(cwd, "polder.config.json"))).mode & 0o777).toBe(0o600);

    const { out } = await run(["key", "list"]);
    expect(out).toContain(write);
    expect(out).not.toContain(server);
    const digits = hashOfKey(server).slice(0, 12);
    expect(out).toContain(digits);

    expect((await run(["key", "revoke", write])).code).toBe(0);
    expect((await run(["key", "revoke", digits])).code).toBe(0);
    expect((await config()).sites[0]).toMatchObject({ writeKeys: [{}], serverKeys: [{ name: "server" }] });
    expect((await config()).sites[0]?.serverKeys).toHaveLength(1);
  });

  it("keeps the last write key, and revokes nothing on a vague word", async () => {
    await init();
    const key = (await config()).sites[0]!.writeKeys[0]!.key;
    expect(await run(["key", "revoke", key])).toMatchObject({
      code: 1,
      err: expect.stringContaining("last write key"),
    });
    for (const vague of ["pk_", "a", "sha256:", "0"]) expect((await run(["key", "revoke", vague])).code).toBe(1);
    expect((await config()).sites[0]!.serverKeys).toHaveLength(1);
  });

  it("wants to know which site when there are several", async () => {
    await init();
    const raw = JSON.parse(await configText()) as { sites: { id: string; writeKeys: unknown; serverKeys: unknown }[] };
    raw.sites.push({ ...raw.sites[0]!, id: "second", writeKeys: [{ key: "pk_second_site" }], serverKeys: [] });
    await writeFile(join(cwd, "polder.config.json"), JSON.stringify(raw));
    expect(await run(["key", "add", "write"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("shop-example, second"),
    });
    expect((await run(["key", "add", "server", "--site", "second"])).code).toBe(0);
    expect((await config()).sites[1]?.serverKeys).toHaveLength(1);
  });
});

describe("a configuration that cannot be used", () => {
  it.each([
    ["{", /polder\.config\.json is not a configuration.*\n.*the file is not JSON/],
    ['{"sites":[]}', /sites /],
    [
      '{"sites":[{"id":"A b","name":"x","timezone":"UTC","origins":["https://a.example/x"],"writeKeys":[{"key":"pk_12345678"}]}]}',
      /sites\[0\]\.id[^]*sites\[0\]\.origins\[0\][^]*write https:\/\/a\.example/,
    ],
  ])("stops start and key with the place and the reason: %s", async (text, reason) => {
    await writeFile(join(cwd, "polder.config.json"), text);
    for (const args of [["start"], ["key", "list"]])
      expect(await run(args)).toMatchObject({ code: 1, err: expect.stringMatching(reason) });
  });

  it("stops start before anything is made", async () => {
    await run(["start"]);
    expect(await run(["start"])).toMatchObject({ code: 1, err: expect.stringContaining("polder init") });
    await expect(stat(join(cwd, ".polder"))).rejects.toThrow("ENOENT");
  });
});

describe("start, when it cannot", () => {
  const ports = ["--shop-port", "0", "--collector-port", "0", "--api-port", "0", "--sql-port", "0"];

  it("names the port that is taken and how to choose another, and gives the folder back", async () => {
    const server = await listening();
    const taken = String((server.address() as AddressInfo).port);
    const { code, err } = await run(["start", "--demo", ...ports, "--collector-port", taken]);
    server.close();
    expect([code, err]).toEqual([
      1,
      `Port ${taken} is taken, so the collector cannot start. Stop what uses it, or choose another with --collector-port or POLDER_COLLECTOR_PORT.\n`,
    ]);
    await expect(stat(join(cwd, ".polder", "polder.lock"))).rejects.toThrow("ENOENT");
  });

  it("does not open personal data to others without a secret", async () => {
    const env = { POLDER_ADMIN_TOKEN: "t" };
    expect(await run(["start", "--demo", ...ports, "--host", "0.0.0.0"], { env })).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^Others can reach 0\.0\.0\.0.*Set POLDER_SQL_PASSWORD \(asked for by SQL\), or listen/,
      ),
    });
    await expect(stat(join(cwd, ".polder"))).rejects.toThrow("ENOENT");
  });

  it("says that the folder cannot be used", async () => {
    await writeFile(join(cwd, "file"), "");
    expect(await run(["start", "--demo", ...ports, "--data", "file/inside"])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/data folder .* cannot be written .*--data or POLDER_DATA/),
    });
  });

  it("says that another process has the folder, and leaves its lock alone", async () => {
    const { takeDataFolder } = await import("../data-folder.ts");
    const folder = await takeDataFolder(join(cwd, ".polder"));
    expect(await run(["start", "--demo", ...ports])).toMatchObject({
      code: 1,
      err: expect.stringContaining(`(process ${process.pid})`),
    });
    await stat(join(cwd, ".polder", "polder.lock"));
    await folder.release();
  });
});

interface Asked {
  url: string;
  body: string;
  headers: IncomingHttpHeaders;
}

describe("sql", () => {
  const answerWith = async (
    answer: { status?: number; text: string },
    check: (port: string, asked: () => Asked) => Promise<void>,
  ) => {
    let asked: Asked = { url: "", body: "", headers: {} };
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        asked = { url: request.url ?? "", body, headers: request.headers };
        response.writeHead(answer.status ?? 200).end(answer.text);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await check(String((server.address() as AddressInfo).port), () => asked);
    server.close();
  };

  it("prints the answer as it is", () =>
    answerWith({ text: "name\tcount()\nPage\t3\n" }, async (port, asked) => {
      expect(await run(["sql", "SELECT 1", "--sql-port", port, "--format", "CSV"])).toEqual({
        code: 0,
        out: "name\tcount()\nPage\t3\n",
        err: "",
      });
      expect(asked().body).toBe("SELECT 1");
      expect(new URL(asked().url, "http://x").searchParams.get("default_format")).toBe("CSV");
    }));

  it("gives the password that SQL asks for", () =>
    answerWith({ text: "1\n" }, async (port, asked) => {
      await run(["sql", "SELECT 1", "--sql-port", port], { env: { POLDER_SQL_PASSWORD: "p" } });
      expect(asked().headers).toMatchObject({ "x-clickhouse-user": "default", "x-clickhouse-key": "p" });
    }));

  it("reads the question from standard input", () =>
    answerWith({ text: "1\n" }, async (port, asked) => {
      await run(["sql", "--sql-port", port], { input: "SELECT 2" });
      expect(asked().body).toBe("SELECT 2");
    }));

  it("fails with ClickHouse's own words", () =>
    answerWith({ status: 404, text: "Code: 60. DB::Exception: Unknown table" }, async (port) => {
      expect(await run(["sql", "SELECT * FROM nothing", "--sql-port", port])).toEqual({
        code: 1,
        out: "",
        err: "Code: 60. DB::Exception: Unknown table\n",
      });
    }));

  it("fails when the answer breaks off halfway", () =>
    answerWith(
      { text: "1\n2\n\r\n__exception__\r\nabc\r\nCode: 395. DB::Exception: Value passed to throwIf\r\n" },
      async (port) => {
        expect((await run(["sql", "SELECT 1", "--sql-port", port])).code).toBe(1);
      },
    ));

  it("says what to do when nothing is there", async () => {
    const server = await listening();
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    expect(await run(["sql", "SELECT 1", "--sql-port", String(port)])).toMatchObject({
      code: 1,
      err: expect.stringContaining("polder start"),
    });
  });
});

const listening = async (): Promise<Server> => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
};
