import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseConfig } from "@polder/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
// @boundaries-ignore a port at which nothing listens
import { freePorts } from "../../../../scripts/free-ports.mjs";
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

  it("tells its version", async () => {
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    expect(await run(["--version"])).toEqual({ code: 0, out: `${version}\n`, err: "" });
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
      consent: { regimes: { default: "opt_in" } },
    });
    expect(out).toContain(
      `<script async src="https://data.shop.example/polder.js" data-site="${site?.writeKeys[0]?.key}" data-cookie-domain="shop.example"></script>`,
    );
    // The same tag that is printed later.
    expect(out).toContain((await run(["tag"])).out.trim());
    const [serverKey = ""] = /sk_[\w-]{43}/.exec(out) ?? [];
    expect(site?.serverKeys[0]?.hash).toBe(hashOfKey(serverKey));
    expect(await configText()).not.toContain(serverKey);
  });

  it("gives the server key a basis, says so in one line, and gives the write key none", async () => {
    const { out } = await init();
    const [site] = (await config()).sites;
    expect(site?.serverKeys[0]?.basis).toEqual({
      purposes: ["necessary", "measurement", "profile"],
      basis: "contract",
      reason: "Orders and accounts are part of the contract with the customer.",
    });
    expect(site?.writeKeys[0]?.basis).toBeUndefined();
    expect(out).toMatch(/^Events sent with it need no consent of their own\. .*contract.*Orders and accounts.*$/m);
    expect(out).toContain("npx polder start");
  });

  it.each([
    [
      "https://www.shop.example",
      undefined,
      "https://data.shop.example",
      "shop.example",
      /must answer at https:\/\/data/,
    ],
    ["https://www.shop.example", "http://localhost:8081/", "http://localhost:8081", undefined, /Visitors cannot reach/],
    [
      "shop.example",
      "events.other.example",
      "https://events.other.example",
      undefined,
      /must answer at https:\/\/events/,
    ],
    ["http://localhost:3000", undefined, "http://localhost:8081", undefined, undefined],
    ["localhost:3000", undefined, "http://localhost:8081", undefined, undefined],
    ["https://10.0.0.7", undefined, "http://localhost:8081", undefined, /Visitors cannot reach/],
  ])("of %s with the collector %s makes a tag of %s", async (origin, given, collector, cookieDomain, advice) => {
    const { out, err } = await run([
      "init",
      "--yes",
      "--timezone",
      "UTC",
      "--origin",
      origin,
      ...(given === undefined ? [] : ["--collector", given]),
    ]);
    expect(err).toBe("");
    expect(out).toContain(`src="${collector}/polder.js"`);
    expect((await config()).sites[0]?.cookieDomain).toBe(cookieDomain);
    if (advice === undefined) expect(out).not.toMatch(/trustedProxies/);
    else expect(out).toMatch(new RegExp(`${advice.source}.*trustedProxies.*POLDER_HOST`));
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
    await run(["init", "--timezone", "UTC"], { answers: ["https://www.kaas.example", "", "Kaas", ""] });
    expect((await config()).sites[0]).toMatchObject({ id: "kaas-example", name: "Kaas", timezone: "UTC" });
  });

  it("checks each answer at once, and asks again with the reason", async () => {
    const { code, out, err } = await run(["init"], {
      answers: [
        "",
        "shop.example/cart",
        "shop.example",
        "Shop!",
        "shop",
        "",
        "Mars/Base",
        "Europe/Amsterdam",
        "ftp://data.shop.example",
        "http://data.shop.example",
        "data.shop.example",
      ],
    });
    expect(code).toBe(0);
    expect(err.split("\n")).toEqual([
      expect.stringMatching(/It must be an origin/),
      expect.stringMatching(/It must be an origin .*write https:\/\/shop\.example\./),
      expect.stringMatching(/It must be 1 to 63 small letters/),
      expect.stringMatching(/It must be an IANA zone/),
      expect.stringMatching(/It must be an address/),
      expect.stringMatching(/It must begin with https/),
      "",
    ]);
    expect((await config()).sites[0]).toMatchObject({
      id: "shop",
      name: "shop",
      timezone: "Europe/Amsterdam",
      origins: ["https://shop.example"],
    });
    expect(out).toContain('src="https://data.shop.example/polder.js"');
  });

  it("looks at the flags before it asks anything", async () => {
    expect(await run(["init", "--timezone", "Mars/Base"], { answers: [] })).toMatchObject({
      code: 2,
      err: expect.stringContaining("--timezone must be"),
    });
  });

  it("makes nothing of bad answers, and says which flag", async () => {
    expect(await run(["init", "--origin", "shop.example/cart", "--timezone", "Mars/Base", "--yes"])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--timezone must be[^]*--origin must be|--origin must be[^]*--timezone must be/),
    });
    expect(await run(["init", "--yes"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("--origin is missing"),
    });
    expect(await run(["init", "--yes", "--origin", "shop.example", "--collector", "data shop"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("--collector must be"),
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

  it("makes a server key without a basis, and says plainly what that means", async () => {
    await init();
    const { out, err } = await run(["key", "add", "server"]);
    expect(out).toMatch(/^sk_[\w-]{43}\n$/);
    expect(err).toMatch(/need a consent of their own.*dropped \(no_consent\)/);
    expect(err).toContain("npx polder key add server --basis contract");
    expect(err).toContain(`npx polder key revoke ${hashOfKey(out.trim()).slice(0, 12)}`);
    expect((await config()).sites[0]?.serverKeys[1]).not.toHaveProperty("basis");
  });

  it.each(["contract", "consent_elsewhere", "legitimate_interest", "legal_obligation"])(
    "gives either kind of key the basis %s, with the usual purposes and a sentence",
    async (basis) => {
      await init();
      for (const kind of ["server", "write"]) {
        const { code, err } = await run(["key", "add", kind, "--basis", basis]);
        expect(code).toBe(0);
        expect(err).toContain(`${basis} (necessary, measurement, profile)`);
        expect(err).not.toContain("no_consent");
      }
      const expected = {
        basis,
        purposes: ["necessary", "measurement", "profile"],
        reason: expect.stringMatching(/^[A-Z].*\.$/),
      };
      const [site] = (await config()).sites;
      expect([site?.serverKeys[1]?.basis, site?.writeKeys[1]?.basis]).toEqual([expected, expected]);
      const { out } = await run(["key", "list"]);
      expect(out.match(new RegExp(`basis ${basis} \\(necessary, measurement, profile\\)`, "g"))).toHaveLength(
        basis === "contract" ? 3 : 2,
      );
      expect(out.match(/by consent only/g)).toHaveLength(1);
    },
  );

  it("takes purposes and a reason, and refuses those that are none", async () => {
    await init();
    const add = (...more: string[]) => run(["key", "add", "server", ...more]);
    await add("--basis", "legal_obligation", "--purposes", "necessary, measurement", "--reason", "Tax law.");
    expect((await config()).sites[0]?.serverKeys[1]?.basis).toEqual({
      basis: "legal_obligation",
      purposes: ["necessary", "measurement"],
      reason: "Tax law.",
    });
    for (const [args, reason] of [
      [["--basis", "because"], /--basis must be one of contract, consent_elsewhere/],
      [["--basis", "contract", "--purposes", "fun"], /--purposes /],
      [["--basis", "contract", "--purposes", ""], /--purposes /],
      [["--basis", "contract", "--reason", " "], /--reason /],
      [["--purposes", "profile"], /--purposes needs a --basis/],
      [["--reason", "So."], /--reason needs a --basis/],
    ] as const)
      expect(await add(...args)).toMatchObject({ code: 2, out: "", err: expect.stringMatching(reason) });
    expect((await config()).sites[0]?.serverKeys).toHaveLength(2);
  });

  it("says what is missing", async () => {
    expect((await run(["key", "add"])).err).toMatch(/kind of key is missing.*key add write.*key add server/);
    expect((await run(["key", "add", "admin"])).err).toMatch(/no kind of key “admin”.*key add write/);
    expect((await run(["key", "revoke"])).err).toContain("npx polder key list");
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

  it("with --demo leaves the site of polder.config.json alone, and says that this is the demo", async () => {
    // Not a configuration: whoever reads it fails.
    await writeFile(join(cwd, "polder.config.json"), "{");
    const server = await listening();
    const taken = String((server.address() as AddressInfo).port);
    const args = ["start", "--demo", ...ports, "--collector-port", taken];
    const { out, err } = await run(args);
    expect(err).toContain(`Port ${taken} is taken`);
    expect(out).toMatch(/^This is the demo.*start your own site with `npx polder start`\.\n$/);
    for (const [more, env] of [
      [["--config", "polder.config.json"], {}],
      [[], { POLDER_CONFIG: "polder.config.json" }],
    ] as const) {
      const named = await run([...args, ...more], { env });
      expect(named).toMatchObject({ out: "", err: expect.stringContaining("not a configuration") });
    }
    server.close();
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
    // Nobody else who asks for any port is given it.
    const [port] = await freePorts(1);
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
