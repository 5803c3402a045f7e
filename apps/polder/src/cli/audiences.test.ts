import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createFakeContext } from "./fake-context.ts";
import { runCli } from "./run-cli.ts";

interface Asked {
  method: string;
  url: string;
  body: unknown;
}

let cwd: string;
let server: Server;
let asked: Asked[];
/** The connection, in the middle of the answer. */
let breaksOff: boolean;
let answers: { status?: number; headers?: { [name: string]: string }; body: string }[];

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-audiences-cli-"));
  asked = [];
  answers = [];
  breaksOff = false;
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (part: Buffer) => (text += part.toString()));
    request.on("end", () => {
      asked.push({ method: request.method!, url: request.url!, body: text === "" ? undefined : JSON.parse(text) });
      const { status = 200, headers = {}, body } = answers.shift()!;
      response.writeHead(status, headers);
      if (breaksOff) response.write(body, () => response.destroy());
      else response.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(cwd, { recursive: true, force: true });
});

const run = (...args: string[]) => runWith({ USER: "ann" }, ...args);
const runWith = async (
  env: { [name: string]: string },
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> => {
  const context = createFakeContext({ cwd, env });
  const { port } = server.address() as AddressInfo;
  const code = await runCli(["audiences", ...args, "--api", `http://127.0.0.1:${port}`], context);
  return { code, out: context.printed(), err: context.complained() };
};
const answer = (body: object, more: object = {}): void => void answers.push({ body: JSON.stringify(body), ...more });

it("lists audiences with their sizes, without archived ones", async () => {
  const one = { name: "Viewers", state: "active", version: 2, people: 1_234, fewerThan: null };
  answer({
    audiences: [
      { id: "viewers", ...one },
      { id: "crowd", ...one, people: null, fewerThan: 50, state: "paused" },
      { id: "gone", ...one, state: "archived" },
    ],
  });
  const { code, out } = await run("--site", "shop");
  expect(code).toBe(0);
  expect(out).toMatch(/viewers +1,234 +version 2, Viewers\n/);
  expect(out).toMatch(/crowd +fewer than 50 +paused, version 2/);
  expect(out).not.toContain("gone");
  expect(asked).toEqual([{ method: "GET", url: "/v1/audiences?site=shop", body: undefined }]);
});

it("switches ready-made ones on, by name or all of them", async () => {
  answer({ added: ["win-back"], there: ["returning"] });
  expect((await run("ready-made", "win-back", "returning")).out).toBe(
    "Switched on: win-back.\nThere already: returning.\n",
  );
  answer({ added: [], there: ["win-back"] });
  await run("ready-made", "*", "--actor", "bo");
  expect(asked.map(({ body }) => body)).toEqual([
    { actor: "ann", audiences: ["win-back", "returning"] },
    { actor: "bo" },
  ]);
});

it("acts as the user of this machine where no variable tells who that is", async () => {
  for (const env of [{}, { USER: "" }]) {
    answer({ added: [], there: [] });
    await runWith(env, "ready-made", "*");
  }
  expect(asked.map(({ body }) => body)).toEqual([{ actor: userInfo().username }, { actor: userInfo().username }]);
});

it("adds, changes and archives", async () => {
  const definition = { people: { event: "page" } };
  await writeFile(join(cwd, "viewers.json"), JSON.stringify(definition));
  answer({ version: 1 }, { status: 201 });
  await run("add", "viewers", "--file", "viewers.json", "--reason", "spring");
  answer({ version: 1 });
  await run("change", "viewers", "--name", "Viewers");
  answer({ version: 1 });
  expect((await run("archive", "viewers")).out).toBe("viewers is archived.\n");
  expect(asked).toEqual([
    {
      method: "POST",
      url: "/v1/audiences",
      body: { actor: "ann", reason: "spring", id: "viewers", name: "viewers", definition },
    },
    { method: "PUT", url: "/v1/audiences/viewers", body: { actor: "ann", name: "Viewers" } },
    { method: "PUT", url: "/v1/audiences/viewers", body: { actor: "ann", state: "archived" } },
  ]);
});

const exportTo = (path: string) =>
  run("export", "viewers", "--to", path, "--identifiers", "user_id", "--recipient", "Mail Ltd", "--reason", "spring");

it("writes an export for this user's eyes, and says who was left out", async () => {
  const nobody = { erased: 0, unknown: 0, restricted: 0, objected: 0, denied: 0, expired: 0, no_consent: 0 };
  const summary = { members: 1_215, exported: 3, leftOut: { ...nobody, objected: 2, denied: 1_209, no_identifier: 1 } };
  answers.push({ body: '"user_id"\n"an"\n', headers: { "x-polder-export": JSON.stringify(summary) } });
  const { code, out } = await exportTo("v.csv");
  expect(code).toBe(0);
  expect(out).toBe(
    `3 of 1,215 people are in ${join(cwd, "v.csv")}.\nLeft out: 2 objected, 1,209 said no, 1 with none of these identifiers.\n`,
  );
  expect(await readFile(join(cwd, "v.csv"), "utf8")).toBe('"user_id"\n"an"\n');
  expect((await stat(join(cwd, "v.csv"))).mode & 0o777).toBe(0o600);
  expect(asked[0]!.body).toEqual({
    actor: "ann",
    reason: "spring",
    format: "csv",
    identifiers: ["user_id"],
    recipient: "Mail Ltd",
  });
});

it("takes the place of an older export whole, or not at all, and others may not read it either", async () => {
  const headers = { "x-polder-export": JSON.stringify({ members: 1, exported: 1, leftOut: {} }) };
  const path = join(cwd, "v.csv");
  await writeFile(path, "older", { mode: 0o644 });
  answers.push({ body: '"user_id"\n"an', headers });
  breaksOff = true;
  const { code, out, err } = await exportTo("v.csv");
  expect([code, out, err]).toEqual([1, "", expect.stringContaining("v.csv was not written")]);
  expect(await readFile(path, "utf8")).toBe("older");
  expect(await readdir(cwd)).toEqual(["v.csv"]);

  breaksOff = false;
  answers.push({ body: '"user_id"\n"an"\n', headers });
  expect((await exportTo("v.csv")).code).toBe(0);
  expect(await readFile(path, "utf8")).toBe('"user_id"\n"an"\n');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

it.each([
  [["add", "viewers"], "--file"],
  [["archive"], "which audience"],
  [["export", "viewers", "--to", "v.txt"], ".csv or .parquet"],
  [["export", "viewers", "--to", "v.csv"], "--identifiers"],
  [["dance"], "There is no"],
])("asks for what is missing in %j, and sends nothing", async (args, words) => {
  const { code, err } = await run(...args);
  expect([code, err]).toEqual([2, expect.stringContaining(words)]);
  expect(asked).toEqual([]);
});

it("says what the API refused, path by path", async () => {
  await writeFile(join(cwd, "bad.json"), "{}");
  answer({ code: "audience_invalid", message: "people has to be there" }, { status: 400 });
  const { code, err } = await run("add", "viewers", "--file", "bad.json");
  expect([code, err]).toEqual([1, expect.stringContaining("people has to be there")]);
});

it.each([
  ["people.days is not known here: did you mean `within`?", "`within`?\n"],
  ["An audience cannot stand on itself.", "itself.\n"],
  ["Others stand on it: spring", "spring.\n"],
])("ends the words of the API once: %s", async (message, end) => {
  answer({ code: "audience_invalid", message }, { status: 400 });
  const { err } = await run("archive", "viewers");
  expect(err).toBe(`${err.slice(0, -end.length)}${end}`);
  expect(err).not.toMatch(/[?.]\.\n/);
});
