import { once } from "node:events";
import * as http from "node:http";
import { connect, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync } from "node:zlib";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startProxiedEngine, type ProxiedEngine } from "./proxied-engine.test-support.ts";

let running: ProxiedEngine;
beforeAll(async () => {
  running = await startProxiedEngine();
});
afterAll(() => running.close());

const get = (search: string, init: RequestInit = {}) => fetch(`${running.url}/?${search}`, init);
const post = (body: BodyInit, search = "", headers: Record<string, string> = {}) =>
  fetch(`${running.url}/?${search}`, { method: "POST", body, headers });

/** What came in until the other side closed. */
const readAll = async (socket: Socket): Promise<string> => {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  // A reset is an end, too: what was heard until then is judged.
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks).toString("latin1");
};

const until = async (isTrue: () => Promise<boolean>): Promise<void> => {
  while (!(await isTrue())) continue;
};

const isRunning = async (queryId: string) =>
  (await running.asAdmin(`SELECT count() FROM system.processes WHERE query_id = '${queryId}'`)) !== "0\n";

// Some hundred milliseconds a block: long enough to be seen, and it can be stopped between blocks.
const slow = (blocks: number) =>
  `SELECT sum(sleepEachRow(0.05)) FROM numbers(${blocks * 2}) SETTINGS max_block_size = 2, max_threads = 1`;

describe("@clickhouse/client, unmodified", () => {
  it.each([
    [{}],
    [{ compression: { response: true } }],
    [{ keep_alive: { enabled: false } }],
    [{ username: "default", password: "" }],
  ])("queries with %j", async (options) => {
    const client = createClient({ url: running.url, database: "polder", ...options });
    const rows = await client.query({
      query: "SELECT site, count() AS n FROM visit GROUP BY site",
      format: "JSONEachRow",
    });
    expect(await rows.json()).toEqual([{ site: "shop", n: 1000 }]);
    expect(await client.ping()).toEqual({ success: true });
    await client.close();
  });

  it("passes parameters, settings, sessions and query ids on", async () => {
    const client = createClient({ url: running.url, session_id: "a-session", clickhouse_settings: { max_threads: 1 } });
    const answer = await client.query({
      query: "SELECT {n:UInt32} + 1 AS n, {t:String} AS t, getSetting('max_threads') AS threads",
      query_params: { n: 4, t: "it's a \\ 'test'\n" },
      query_id: "my-own-id",
      format: "JSON",
    });
    expect(answer.query_id).toBe("my-own-id");
    expect((await answer.json<{ n: number }>()).data).toEqual([{ n: 5, t: "it's a \\ 'test'\n", threads: 1 }]);
    await client.command({ query: "USE polder" });
    const table = await client.query({ query: "SELECT count() AS n FROM visit", format: "JSONEachRow" });
    expect(await table.json()).toEqual([{ n: 1000 }]);
    await client.close();
  });

  it("hears of refusals as of any error of ClickHouse", async () => {
    const client = createClient({ url: running.url, log: { level: ClickHouseLogLevel.OFF } });
    await expect(client.query({ query: "SELECT file('/etc/passwd')" })).rejects.toMatchObject({
      code: "497",
      type: "ACCESS_DENIED",
    });
    await expect(client.query({ query: "SELECT nothing" })).rejects.toMatchObject({
      code: "47",
      type: "UNKNOWN_IDENTIFIER",
    });
    await client.close();
  });

  it("streams", async () => {
    const client = createClient({ url: running.url });
    const answer = await client.query({ query: "SELECT number FROM numbers(200000)", format: "JSONCompactEachRow" });
    let count = 0;
    for await (const rows of answer.stream()) count += rows.length;
    expect(count).toBe(200_000);
    await client.close();
  });
});

describe("HTTP as ClickHouse has it", () => {
  it("takes a statement from the URL, the body or both", async () => {
    expect(await (await get("query=SELECT+1%2B1")).text()).toBe("2\n");
    expect(await (await post("SELECT 3")).text()).toBe("3\n");
    expect(await (await post("+ 4 FORMAT CSV", "query=SELECT%203")).text()).toBe("7\n");
    expect(await (await fetch(`${running.url}/query?query=SELECT%205`)).text()).toBe("5\n");
  });

  it("answers health questions and serves the engine's own query page", async () => {
    expect(await (await fetch(`${running.url}/`)).text()).toBe("Ok.\n");
    expect(await (await fetch(`${running.url}/ping`)).text()).toBe("Ok.\n");
    expect(await (await fetch(`${running.url}/replicas_status`)).text()).toBe("Ok.\n");
    expect((await fetch(`${running.url}/ping`, { method: "HEAD" })).status).toBe(200);
    expect(await (await fetch(`${running.url}/play`)).text()).toContain("<html");
    expect((await fetch(`${running.url}/metrics`)).status).toBe(404);
    expect((await fetch(`${running.url}/`, { method: "DELETE" })).status).toBe(405);
  });

  it.each([
    ["CSV", "text/csv"],
    ["JSON", "application/json"],
    ["Parquet", "application/octet-stream"],
    ["Arrow", "application/octet-stream"],
    ["Native", "application/octet-stream"],
    ["RowBinaryWithNamesAndTypes", "application/octet-stream"],
  ])("gives %s byte for byte as the engine does", async (format, contentType) => {
    const statement = `SELECT * FROM polder.visit ORDER BY day, views FORMAT ${format}`;
    const answer = await post(statement);
    const { username, password } = running.engine.analyst;
    const own = await fetch(running.engine.url, {
      method: "POST",
      body: statement,
      headers: { "x-clickhouse-user": username, "x-clickhouse-key": password },
    });
    expect(answer.headers.get("content-type")).toContain(contentType);
    expect(answer.headers.get("x-clickhouse-format")).toBe(format);
    const [bytes, ownBytes] = await Promise.all([answer.arrayBuffer(), own.arrayBuffer()]).then((both) =>
      both.map((part) => Buffer.from(part)),
    );
    if (format === "JSON") expect(JSON.parse(String(bytes)).data).toEqual(JSON.parse(String(ownBytes)).data);
    else expect(bytes!.equals(ownBytes!)).toBe(true);
  });

  it("keeps the format asked for in the URL or in a header", async () => {
    expect(await (await post("SELECT 1 AS x", "default_format=JSONEachRow")).text()).toBe('{"x":1}\n');
    expect(await (await post("SELECT 1 AS x", "", { "x-clickhouse-format": "CSVWithNames" })).text()).toBe('"x"\n1\n');
    expect(await (await post("SELECT count() FROM visit", "", { "x-clickhouse-database": "polder" })).text()).toBe(
      "1000\n",
    );
  });

  it("takes compressed statements, and sends compressed answers when asked", async () => {
    const statement = "SELECT 'compressed'";
    for (const [encoding, bytes] of [
      ["gzip", gzipSync(statement)],
      ["deflate", deflateSync(statement)],
      ["br", brotliCompressSync(statement)],
    ] as const) {
      expect(await (await post(new Uint8Array(bytes), "", { "content-encoding": encoding })).text()).toBe(
        "compressed\n",
      );
    }
    const answer = await new Promise<{ encoding: string | undefined; text: string }>((resolve, reject) => {
      const path = `/?enable_http_compression=1&query=${encodeURIComponent("SELECT * FROM numbers(1000)")}`;
      http
        .get(`${running.url}${path}`, { headers: { "accept-encoding": "gzip" } }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () =>
            resolve({
              encoding: response.headers["content-encoding"],
              text: gunzipSync(Buffer.concat(chunks)).toString(),
            }),
          );
        })
        .on("error", reject);
    });
    expect(answer.encoding).toBe("gzip");
    expect(answer.text.split("\n")).toHaveLength(1_001);
    // ClickHouse's own compression, as the old drivers ask for it: passed on as it is.
    const native = Buffer.from(await (await post("SELECT 1", "compress=1")).arrayBuffer());
    expect(native[16]).toBe(0x82);
  });

  it.each([
    ["lz4", "x", 415],
    ["gzip", "this is not gzip", 400],
  ])("refuses a body in %s that it cannot read", async (encoding, body, status) => {
    const answer = await post(body, "", { "content-encoding": encoding });
    expect(answer.status).toBe(status);
    expect(await answer.text()).toContain("BAD_ARGUMENTS");
  });

  it("refuses external data with a sentence", async () => {
    const form = new FormData();
    form.set("ids", "1\n2\n");
    const answer = await fetch(`${running.url}/?query=SELECT+*+FROM+ids&ids_structure=x+UInt8`, {
      method: "POST",
      body: form,
    });
    expect(answer.status).toBe(415);
    expect(await answer.text()).toContain("External data");
  });

  it("refuses a statement that is too long, also when it only is so after inflating", async () => {
    const { url } = await running.openProxy({ limits: { maxStatementBytes: 1_000 } });
    const long = `SELECT 1 -- ${"x".repeat(100_000)}`;
    expect((await fetch(url, { method: "POST", body: long })).status).toBe(413);
    const zipped = new Uint8Array(gzipSync(long));
    expect((await fetch(url, { method: "POST", body: zipped, headers: { "content-encoding": "gzip" } })).status).toBe(
      413,
    );
    expect((await fetch(`${url}/?query=${encodeURIComponent(long.slice(0, 2_000))}`)).status).toBe(413);
    expect((await fetch(`${url}/?query=${encodeURIComponent(long)}`)).status).toBe(431);
    expect(await (await fetch(url, { method: "POST", body: "SELECT 1" })).text()).toBe("1\n");
  });

  it("judges a statement as long as the engine takes, within the time that it takes", async () => {
    const statement = `SELECT length([${Array.from({ length: 100_000 }, () => "1").join(",")}])`;
    expect(await (await post(statement)).text()).toBe("100000\n");
  });

  it("sends progress headers while a query runs", async () => {
    const ask = (statement: string, more = ""): Socket => {
      const socket = connect(running.port, "127.0.0.1");
      const path = `/?send_progress_in_http_headers=1&http_headers_progress_interval_ms=50${more}`;
      socket.write(`GET ${path}&query=${encodeURIComponent(statement)} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      return socket;
    };
    // Of a query that lasts, what has come by now is before its end.
    const lasting = ask(slow(250), "&query_id=lasting");
    lasting.on("error", () => {});
    let heads = "";
    for await (const chunk of lasting) {
      heads += (chunk as Buffer).toString("latin1");
      if ((heads.match(/X-ClickHouse-Progress/g)?.length ?? 0) > 2) break;
    }
    expect(heads).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(heads).not.toContain("\r\n\r\n");
    await until(async () => !(await isRunning("lasting")));

    const whole = await readAll(ask(slow(8)));
    expect(whole.match(/X-ClickHouse-Progress/g)?.length).toBeGreaterThan(2);
    expect(whole).toMatch(/\r\n\r\n2\r\n0\n\r\n0\r\n\r\n$/);
  });

  it("tells of an error in the middle of an answer as the engine does", async () => {
    const answer = await post("SELECT throwIf(number = 150000) FROM numbers(200000) SETTINGS max_block_size = 1000");
    const text = await answer.text().catch((error: unknown) => String(error));
    expect(text).toMatch(/FUNCTION_THROW_IF_VALUE_IS_NON_ZERO|terminated/);
  });

  it("answers HTTP/1.0 without chunks", async () => {
    const socket = connect(running.port, "127.0.0.1");
    socket.write("GET /?query=SELECT+1 HTTP/1.0\r\n\r\n");
    const [head, body] = (await readAll(socket)).split("\r\n\r\n");
    expect(head).not.toContain("chunked");
    expect(body).toBe("1\n");
  });
});

describe("who asks", () => {
  const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });

  it("is `default` without a password, in each of the three ways", async () => {
    expect((await get("query=SELECT+1&user=default&password=")).status).toBe(200);
    expect((await get("query=SELECT+1&user=default")).status).toBe(200);
    expect((await get("query=SELECT+1", { headers: basic("default:") })).status).toBe(200);
    expect((await get("query=SELECT+1", { headers: { "x-clickhouse-user": "default" } })).status).toBe(200);
    expect(await (await get("query=SELECT+currentUser()")).text()).toBe("analyst\n");
  });

  it("is nobody else", async () => {
    const { admin, analyst } = running.engine;
    for (const [user, password] of [
      ["polder", ""],
      [admin.username, admin.password],
      [analyst.username, analyst.password],
      ["default", "guess"],
      ["<b>", ""],
    ] as const) {
      for (const answer of [
        await get(`query=SELECT+1&${new URLSearchParams({ user, password }).toString()}`),
        await get("query=SELECT+1", { headers: basic(`${user}:${password}`) }),
        await get("query=SELECT+1", { headers: { "x-clickhouse-user": user, "x-clickhouse-key": password } }),
      ]) {
        expect(answer.status).toBe(403);
        expect(answer.headers.get("x-clickhouse-exception-code")).toBe("516");
        expect(await answer.text()).toContain("AUTHENTICATION_FAILED");
      }
    }
    expect((await get("query=SELECT+1&user=default", { headers: basic("default:") })).status).toBe(403);
    expect((await get("query=SELECT+1", { headers: { authorization: "Bearer x" } })).status).toBe(403);
  });

  it("must know the password when there is one", async () => {
    const { url } = await running.openProxy({ analystPassword: "pass:word" });
    expect((await fetch(`${url}/?query=SELECT+1`)).status).toBe(403);
    expect((await fetch(`${url}/?query=SELECT+1&user=default&password=wrong`)).status).toBe(403);
    expect((await fetch(`${url}/?query=SELECT+1`, { headers: basic("default:pass:word") })).status).toBe(200);
    expect((await fetch(`${url}/?query=SELECT+1&password=pass:word`)).status).toBe(200);
  });

  it("cannot be a page on the web that calls us by a name of its own", async () => {
    const ask = async (host: string) => {
      const socket = connect(running.port, "127.0.0.1");
      socket.write(`GET /?query=SELECT+1 HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      return (await readAll(socket)).slice(0, 12);
    };
    expect(await ask("rebound.example")).toBe("HTTP/1.1 421");
    expect(await ask(`localhost:${running.port}`)).toBe("HTTP/1.1 200");
    expect(await ask("127.0.0.1")).toBe("HTTP/1.1 200");
    expect(await ask("[::1]:8123")).toBe("HTTP/1.1 200");
  });
});

describe("broken and absent clients", () => {
  // In turn with and without progress headers: the two ways in which an answer is passed on.
  const progress = (index: number) => (index % 2 === 0 ? "" : "send_progress_in_http_headers=1&");

  it("never harm the engine: garbage, half requests and resets at any byte", async () => {
    const pid = running.engine.pid();
    const whole = `POST /?query=SELECT+1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n FORMAT T`;
    const garbage = [
      "\x16\x03\x01\x02\x00",
      "SSH-2.0-x\r\n",
      "\0".repeat(64),
      "GET",
      "GET / HTTP/9.9\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ];
    const beginnings = [...garbage, ...Array.from({ length: whole.length + 1 }, (_, length) => whole.slice(0, length))];
    for (const way of ["reset", "end"] as const) {
      await Promise.all(
        beginnings.map(async (text) => {
          const socket = connect(running.port, "127.0.0.1");
          socket.on("error", () => {});
          socket.resume();
          await once(socket, "connect");
          await new Promise<void>((resolve) => socket.write(text, "latin1", () => resolve()));
          if (way === "reset") socket.resetAndDestroy();
          else socket.end();
          // A reset is an end, too.
          if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
        }),
      );
    }
    expect(await (await get("query=SELECT+1")).text()).toBe("1\n");
    expect(running.engine.pid()).toBe(pid);
  });

  it("that reset in the middle of an answer end their query and nothing else", async () => {
    const pid = running.engine.pid();
    await Promise.all(
      Array.from({ length: 6 }, async (_, index) => {
        const socket = connect(running.port, "127.0.0.1");
        socket.on("error", () => {});
        const statement = encodeURIComponent(
          "SELECT randomPrintableASCII(1000) FROM numbers(200000) SETTINGS max_block_size = 1000",
        );
        socket.write(
          `GET /?${progress(index)}query_id=reset-${index}&query=${statement} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
        );
        await once(socket, "data");
        socket.resetAndDestroy();
        await until(async () => !(await isRunning(`reset-${index}`)));
      }),
    );
    expect(running.engine.pid()).toBe(pid);
  });

  it.each([[0], [1]])("that leave before the first byte have their query cancelled (%i)", async (way) => {
    const pid = running.engine.pid();
    const socket = connect(running.port, "127.0.0.1");
    socket.on("error", () => {});
    // Progress comes after the first interval only.
    const path = `/?${progress(way)}${way === 1 ? "http_headers_progress_interval_ms=60000&" : ""}query_id=left-${way}`;
    socket.write(`GET ${path}&query=${encodeURIComponent(slow(200))} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => isRunning(`left-${way}`));
    socket.resetAndDestroy();
    await until(async () => !(await isRunning(`left-${way}`)));
    expect(running.engine.pid()).toBe(pid);
  });

  it("that are slow are cut off", async () => {
    const { port } = await running.openProxy({ limits: { headersTimeoutMs: 200, requestTimeoutMs: 400 } });
    const head = connect(port, "127.0.0.1");
    head.write("GET /?query=SELECT+1 HTTP/1.1\r\nHost: loc");
    expect(await readAll(head)).toMatch(/^HTTP\/1\.1 408/);
    const body = connect(port, "127.0.0.1");
    body.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nSELECT");
    expect(await readAll(body)).toMatch(/^HTTP\/1\.1 408/);
  });

  it("that send requests without waiting get the answers in order", async () => {
    const socket = connect(running.port, "127.0.0.1");
    const request = (statement: string, close = false) =>
      `GET /?query=${encodeURIComponent(statement)} HTTP/1.1\r\nHost: localhost\r\n${close ? "Connection: close\r\n" : ""}\r\n`;
    socket.write(request(slow(2)) + request("SELECT 'second'") + request("SELECT 'third'", true));
    const text = await readAll(socket);
    expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(3);
    expect(text.indexOf("second")).toBeLessThan(text.indexOf("third"));
  });

  it("that send more after asking for progress get nothing into their answer", async () => {
    const socket = connect(running.port, "127.0.0.1");
    const request = `GET /?send_progress_in_http_headers=1&query=${encodeURIComponent(slow(2))} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    socket.write(request + request);
    const text = readAll(socket);
    await once(socket, "data");
    socket.write("garbage");
    expect((await text).match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it("that are too many are told so", async () => {
    const { url, port } = await running.openProxy({ limits: { maxQueries: 1 } });
    const first = connect(port, "127.0.0.1");
    first.on("error", () => {});
    first.write(`GET /?query_id=only&query=${encodeURIComponent(slow(200))} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => isRunning("only"));
    const second = await fetch(`${url}/?query=SELECT+1`);
    expect(second.status).toBe(503);
    expect(second.headers.get("retry-after")).toBe("1");
    expect(await second.text()).toContain("TOO_MANY_SIMULTANEOUS_QUERIES");
    first.resetAndDestroy();
    await until(async () => (await fetch(`${url}/?query=SELECT+1`)).status === 200);
  });
});

describe("big answers", () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  /** Bytes that buffers hold. What nobody has collected yet is none of it, and is looked for only when it would be too much. */
  const heldBytes = (most: number): number => {
    // The first one may leave something to be swept.
    if (process.memoryUsage().arrayBuffers > most) for (const _ of [1, 2]) collectGarbage();
    return process.memoryUsage().arrayBuffers;
  };

  it("go through in constant memory, no faster than they are read", async () => {
    const total = 100_000 * 2_001;
    const socket = connect(running.port, "127.0.0.1");
    const text = encodeURIComponent("SELECT repeat('x', 2000) FROM numbers(100000)");
    socket.write(`GET /?query=${text} HTTP/1.0\r\n\r\n`);
    await once(socket, "readable");
    socket.pause();
    // While nobody reads, other queries go through and nothing piles up here.
    const before = heldBytes(0);
    for (let index = 0; index < 30; index++) expect((await get("query=SELECT+1")).status).toBe(200);
    expect(heldBytes(before + 32 * 1024 ** 2) - before).toBeLessThan(32 * 1024 ** 2);
    let received = 0;
    let most = 0;
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
      most = Math.max(most, heldBytes(before + 64 * 1024 ** 2) - before);
    });
    socket.resume();
    await once(socket, "close");
    expect(received).toBeGreaterThan(total);
    expect(received).toBeLessThan(total + 2_000);
    expect(most).toBeLessThan(64 * 1024 ** 2);
  });
});

describe("the engine is killed", () => {
  it("answers under way are cut, later ones say that it is starting, then all is well again", async () => {
    const client = connect(running.port, "127.0.0.1");
    client.on("error", () => {});
    client.write(
      `GET /?query=${encodeURIComponent("SELECT repeat('x', 2000) FROM numbers(100000)")} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    );
    await once(client, "readable");
    const statuses = new Set<number>();
    const kill = async (): Promise<void> => {
      const restarted = new Promise<void>((resolve) => running.engine.onRestart(resolve));
      process.kill(running.engine.pid()!, "SIGKILL");
      if (!client.closed) expect(await readAll(client)).not.toMatch(/\r\n0\r\n\r\n$/);
      await until(async () => {
        const answer = await get("query=SELECT+1");
        statuses.add(answer.status);
        const text = await answer.text();
        if (answer.status === 503) expect(text).toContain("starting again");
        return answer.status === 200;
      });
      await restarted;
    };
    // On a busy machine it may be back before we ask: then once more.
    while (!statuses.has(503)) await kill();
    expect(statuses).toEqual(new Set([503, 200]));
  });
});
