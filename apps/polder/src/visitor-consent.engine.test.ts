import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createFakeContext } from "./cli/fake-context.ts";
import { runCli } from "./cli/run-cli.ts";
import { sendPatiently } from "./send-patiently.test-support.ts";

let cwd = "";
let stop: (() => Promise<unknown>) | undefined;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-visitor-"));
});
afterEach(async () => {
  await stop?.();
  await rm(cwd, { recursive: true, force: true });
});

const anyPort = { POLDER_SHOP_PORT: "0", POLDER_COLLECTOR_PORT: "0", POLDER_API_PORT: "0", POLDER_SQL_PORT: "0" };

interface History {
  state: { [purpose: string]: string };
  history: { id: string; choices: { purpose: string; state: string; title: string; text: string }[] }[];
}

it("a visitor's choice goes from the page to the record and back to the page, and is proven", async () => {
  const context = createFakeContext({ cwd, env: anyPort });
  const ended = runCli(["start", "--demo"], context);
  stop = () => (context.interrupt(), ended);
  await Promise.race([
    context.sees(/Ctrl-C drains/),
    ended.then((code) => {
      throw new Error(`ended with ${code}: ${context.complained()}`);
    }),
  ]);
  const addressOf = (label: string): string =>
    new RegExp(`^ +${label} +(http\\S+)$`, "m").exec(context.printed())?.[1] ?? "";
  const [shop, api, collector, sql] = ["Shop", "Live page", "Collector", "SQL"].map(addressOf) as [
    string,
    string,
    string,
    string,
  ];
  const file = JSON.parse(await readFile(join(cwd, ".polder", "demo.config.json"), "utf8")) as {
    sites: { writeKeys: { key: string }[] }[];
  };
  const writeKey = file.sites[0]!.writeKeys[0]!.key;

  // A browser keeps cookies by host, whatever the port.
  const jar = new Map<string, string>();
  const keep = (answer: Response): Response => {
    for (const line of answer.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (line.includes("Max-Age=0;")) jar.delete(name);
      else jar.set(name, value);
    }
    return answer;
  };
  const headers = (): { [name: string]: string } => ({
    origin: shop,
    cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; "),
  });
  const at = new Date().toISOString();
  const purposes = { measurement: "granted", profile: "granted", ads: "denied" };
  keep(
    await sendPatiently(`${collector}/v1/batch`, {
      method: "POST",
      headers: { "content-type": "text/plain", ...headers() },
      body: JSON.stringify({
        writeKey,
        batch: [
          {
            type: "consent",
            messageId: "choice-1",
            timestamp: at,
            anonymousId: randomUUID(),
            context: { consent: { v: 1, id: "consent-1", at, purposes } },
          },
        ],
      }),
    }),
  );
  expect([...jar.keys()].toSorted()).toEqual(["polder_aid", "polder_id"]);

  const read = async (): Promise<History> =>
    (await (await fetch(`${api}/v1/consent`, { headers: headers() })).json()) as History;
  const first = await vi.waitFor(
    async () => {
      const found = await read();
      expect(found.history).toHaveLength(1);
      return found;
    },
    { timeout: 120_000, interval: 500 },
  );
  expect(first).toMatchObject({
    state: { measurement: "granted", profile: "granted", ads: "denied" },
    history: [{ id: "consent-1" }],
  });

  const withdrawal = keep(
    await fetch(`${api}/v1/consent`, {
      method: "POST",
      headers: { "content-type": "text/plain", ...headers() },
      body: JSON.stringify({ writeKey, purposes: {} }),
    }),
  );
  const { id, state } = (await withdrawal.json()) as { id: string; state: History["state"] };
  expect(state).toMatchObject({ measurement: "withdrawn", profile: "withdrawn", ads: "denied" });
  // The ids are gone from the device, and what is left is the same for everyone.
  expect([...jar.keys()]).toEqual(["polder_consent"]);
  expect(jar.get("polder_consent")).toMatch(/^v1\.0\.[0-9a-z]{6}\.$/);
  expect(await read()).toMatchObject({ history: [], state: { profile: "unset" } });

  const cli = async (...args: string[]): Promise<string> => {
    const asking = createFakeContext({ cwd, env: { POLDER_SQL_PORT: new URL(sql).port } });
    await runCli(["consent", ...args], asking);
    return asking.printed();
  };
  await vi.waitFor(async () => expect(await cli("verify")).toMatch(/^✓ shop: 2 records, whole\. Head 2:/), 120_000);
  expect(await cli("proof", "choice-1")).toContain("Choice consent-1, made ");
  const log = await fetch(`${sql}/?database=polder`, {
    method: "POST",
    body: "SELECT consent_id, `choice.state`[indexOf(`choice.purpose`, 'profile')] FROM consent_log ORDER BY n",
  });
  expect(await log.text()).toBe(`consent-1\tgranted\n${id}\twithdrawn\n`);
});
