import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createFakeContext } from "./fake-context.ts";
import { runCli } from "./run-cli.ts";

interface Asked {
  path: string;
  token: string | undefined;
  body: { people: string[] } | undefined;
}

let folder: string;
let server: Server;
let url: string;
let asked: Asked[];

async function bodyOf(request: IncomingMessage): Promise<Asked["body"]> {
  let text = "";
  for await (const part of request) text += part;
  return text === "" ? undefined : (JSON.parse(text) as Asked["body"]);
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "polder-erase-"));
  asked = [];
  server = createServer((request, response) => {
    const answered = bodyOf(request).then((body) => {
      asked.push({ path: request.url ?? "", token: request.headers.authorization, body });
      const answer = (status: number, value: object | string) => {
        response.statusCode = status;
        response.end(typeof value === "string" ? value : JSON.stringify(value));
      };
      if (request.headers.authorization !== "Bearer secret")
        return answer(401, { code: "token_required", message: "This API shows personal data" });
      if (body !== undefined) {
        const known = body.people.filter((id) => id !== "nobody");
        return answer(202, {
          erasures: known.map((id) => ({
            id,
            erasure: `e-${id}`,
            person: 64,
            kind: "person",
            identities: 2,
            traits: [],
          })),
          notFound: body.people.filter((id) => id === "nobody"),
        });
      }
      if (request.url === "/v1/erasures/e-an")
        return answer(200, {
          id: "e-an", site: "shop", kind: "person", requestedAt: Date.parse("2026-11-22T21:00:00Z"), actor: "office", reason: "letter",
          identities: 2, state: "begun", person: 64, traits: [], keys: [],
          rounds: [{ round: 1, isDone: false, at: Date.parse("2026-11-22T21:00:07Z"), tables: [
            { table: "events", rows: 5, remaining: 2 }, { table: "atom", rows: 0, remaining: 0 }] }],
        }); // oxfmt-ignore
      if (request.url?.startsWith("/v1/people/an/export") === true) return answer(200, "section,time\r\n");
      return answer(404, { code: "not_found", message: "There is nothing here" });
    });
    answered.catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

const run = async (args: readonly string[], { token = "secret", input = "" } = {}) => {
  const context = createFakeContext({
    cwd: folder,
    env: { POLDER_API_URL: url, ...(token !== "" && { POLDER_ADMIN_TOKEN: token }) },
    input,
  });
  const code = await runCli(args, context);
  return { code, out: context.printed(), err: context.complained() };
};
const why = ["--actor", "office", "--reason", "letter"];

it("erases those who are named and those in a file, a thousand at a time, and says whom nobody knows", async () => {
  const ids = Array.from({ length: 1_000 }, (_, n) => `p${n}`);
  writeFileSync(join(folder, "ids.txt"), `# closed accounts\n${ids.join("\n")}\n\nnobody\n`);
  const { code, out, err } = await run(["erase", "an", "--file", "ids.txt", "--site", "shop", ...why]);
  expect(asked.map(({ body }) => body?.people.length)).toEqual([1_000, 2]);
  expect(asked[0]).toMatchObject({ path: "/v1/erasures", body: { site: "shop", actor: "office", reason: "letter" } });
  expect(asked[0]?.body).not.toHaveProperty("traits");
  expect(out).toContain("an  e-an  2 identities");
  expect(out).toContain("1001 asked for");
  expect([code, err]).toEqual([1, "Nobody has the id nobody.\n"]);
});

it("takes ids from a pipe, and the names of traits", async () => {
  await run(["erase", "--file", "-", "--class", "identity", "--keep", "newsletter, email", ...why], {
    input: "bo\r\ncy\r\n",
  });
  expect(asked[0]?.body).toMatchObject({ people: ["bo", "cy"], class: "identity", keep: ["newsletter", "email"] });
});

it("says of whom it erases a part that they stay, and of nobody else", async () => {
  for (const part of [
    ["--traits", "phone"],
    ["--class", "identity"],
  ]) {
    const { out } = await run(["erase", "an", ...part, ...why]);
    expect(out).toContain("the people stay");
    expect(out).not.toContain("Nobody finds them");
  }
  const { out } = await run(["erase", "an", ...why]);
  expect(out).toContain("Nobody finds them");
  expect(out).not.toContain("stay");
});

it.each([
  [["erase", ...why], 2, "Say who"],
  [["erase", "an", "--actor", "office"], 2, "--reason"],
  [["erase", "--file", "missing.txt", ...why], 1, "cannot be read"],
  [["export-person", "an"], 2, "--to"],
  [["export-person", "--to", "x.json"], 2, "Say of whom"],
  [["export-person", "bo", "--to", "x.json"], 1, "says 404"],
] as const)("asks nobody for anything by %j", async (args, code, words) => {
  const { code: found, err } = await run(args);
  expect([found, err]).toEqual([code, expect.stringContaining(words)]);
  expect(asked.filter(({ body }) => body !== undefined)).toEqual([]);
});

it("shows a receipt, and fails as long as something is left", async () => {
  const { code, out } = await run(["erase", "--receipt", "e-an"]);
  expect(code).toBe(1);
  expect(out).toContain("State: begun");
  expect(out).toMatch(/events +5 rows, 2 left/);
  expect(out).not.toContain("atom");
});

it("says how to give the token, and that nothing answers", async () => {
  expect((await run(["erase", "an", ...why], { token: "" })).err).toContain("POLDER_ADMIN_TOKEN");
  const closed = await run(["erase", "an", ...why, "--api", "http://127.0.0.1:1"]);
  expect([closed.code, closed.err]).toEqual([1, expect.stringContaining("Nothing answers at http://127.0.0.1:1")]);
});

it("writes a file that nobody else on the machine can read, and none where there is nobody", async () => {
  const { code } = await run(["export-person", "an", "--to", "an.csv", "--by", "user"]);
  expect(code).toBe(0);
  expect(asked[0]?.path).toBe("/v1/people/an/export?format=csv&by=user");
  expect(readFileSync(join(folder, "an.csv"), "utf8")).toBe("section,time\r\n");
  expect(statSync(join(folder, "an.csv")).mode & 0o777).toBe(0o600);
  await run(["export-person", "bo", "--to", "bo.csv"]);
  expect(() => statSync(join(folder, "bo.csv"))).toThrow("ENOENT");
});
