import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noticeHash } from "@polder/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFakeContext } from "./fake-context.ts";
import { runCli } from "./run-cli.ts";

let cwd = "";
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-tag-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const site = (fields: object = {}): object => ({
  id: "shop",
  name: "Shop",
  timezone: "UTC",
  origins: ["https://www.shop.example"],
  writeKeys: [{ key: "pk_12345678" }],
  ...fields,
});
async function tag(sites: object[], ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  await writeFile(join(cwd, "polder.config.json"), JSON.stringify({ sites }));
  const context = createFakeContext({ cwd });
  const code = await runCli(["tag", ...args], context);
  return { code, out: context.printed(), err: context.complained() };
}

describe("polder tag", () => {
  it("prints the tag of a site that leaves everything as it is, and nothing else to paste", async () => {
    const { code, out, err } = await tag([site()]);
    expect([code, out]).toEqual([
      0,
      '<script async src="https://data.shop.example/polder.js" data-site="pk_12345678"></script>\n',
    ]);
    expect(err).toMatch(/must answer at https:\/\/data\.shop\.example/);
    expect(err).toMatch(/No banner is printed: sites\[\]\.consent\.notice has no texts/);
  });

  it("says all that the configuration says otherwise", async () => {
    const consent = {
      beforeChoice: { mode: "measurement", reason: "Article 11.7a, third paragraph." },
      grantDays: 180,
      refusalDays: 365,
    };
    const origins = ["https://www.shop.example", "https://shop.example", "https://other.example"];
    const { out, err } = await tag(
      [site({ origins, cookieDomain: "shop.example", consent })],
      "--collector",
      "data.shop.example/in/",
    );
    expect(out).toBe(
      '<script async src="https://data.shop.example/in/polder.js" data-site="pk_12345678" data-before-choice="measurement" ' +
        'data-cookie-domain="shop.example" data-grant-days="180" data-refusal-days="365"></script>\n',
    );
    expect(err).toContain("Before a choice: measurement. Your reason: Article 11.7a, third paragraph.");
    expect(err).toContain("On https://other.example leave data-cookie-domain out");
  });

  it("lets the page ask what holds for the visitor where that is not opt_in everywhere", async () => {
    const tagOf = async (regimes: object): Promise<string> => (await tag([site({ consent: { regimes } })])).out;
    const asking =
      '<script async src="https://data.shop.example/polder.all.js" data-site="pk_12345678" data-regime="ask"></script>\n';
    expect(await tagOf({ US: "opt_out" })).toBe(asking);
    expect(await tagOf({ default: "notice", NL: "opt_in" })).toBe(asking);
    expect(await tagOf({ default: "opt_in", US: "opt_in" })).not.toContain("regime");
  });

  it("puts the banner beside it, with its texts in every language and their hashes, safe within a page", async () => {
    const purposes = {
      measurement: {
        en: { title: "Counting", text: "We </script><!--<script> count." },
        nl: { title: "Tellen", text: "Wij tellen." },
      },
      ads: { en: { title: "Ads", text: "We advertise." }, nl: { title: "Advertenties", text: "Wij adverteren." } },
    };
    const notice = {
      en: { title: "Your choice", text: "Shop asks.", links: [{ text: "More", href: "/privacy" }] },
      nl: { title: "Jouw keuze", text: "Shop vraagt.", links: [] },
    };
    const { out } = await tag([site({ consent: { purposes, notice } })]);
    const [, data = "", banner] =
      /^<script async .*<\/script>\n<script type="application\/json" id="polder-notice">\n([^<]*)\n<\/script>\n(<script .*)\n$/.exec(
        out,
      ) ?? [];
    expect(banner).toBe('<script async src="https://data.shop.example/polder-banner.js"></script>');
    const hash = createHash("sha256")
      .update(JSON.stringify(["polder.notice/1", notice, purposes]))
      .digest("hex");
    const withHash = (purpose: "measurement" | "ads", language: "en" | "nl") => ({
      ...purposes[purpose][language],
      hash: noticeHash(purpose, language, purposes[purpose][language]),
    });
    expect(JSON.parse(data)).toEqual({
      version: hash.slice(0, 12),
      hash,
      texts: notice,
      purposes: {
        measurement: { en: withHash("measurement", "en"), nl: withHash("measurement", "nl") },
        ads: { en: withHash("ads", "en"), nl: withHash("ads", "nl") },
      },
    });
  });

  it("has another version when any text is another", async () => {
    const versionOf = async (title: string, text: string): Promise<string> => {
      const consent = {
        purposes: { ads: { en: { title: "Ads", text } } },
        notice: { en: { title, text: "Shop asks." } },
      };
      return /"version": "(\w{12})"/.exec((await tag([site({ consent })])).out)?.[1] ?? "";
    };
    const versions = [await versionOf("a", "b"), await versionOf("a", "c"), await versionOf("d", "b")];
    expect(new Set(versions).size).toBe(3);
    expect(await versionOf("a", "b")).toBe(versions[0]);
  });

  it("takes the key that counts now and has no basis of its own", async () => {
    const basis = { purposes: ["profile"], basis: "consent_elsewhere", reason: "Their banner asks." };
    const writeKeys = [
      { key: "pk_past_1234", notAfter: "2020-01-01T00:00:00Z" },
      { key: "pk_future_12", notBefore: "2999-01-01T00:00:00Z" },
      { key: "pk_elsewhere", basis },
      { key: "pk_today_123" },
    ];
    expect((await tag([site({ writeKeys })])).out).toContain('data-site="pk_today_123"');
    expect((await tag([site({ writeKeys: writeKeys.slice(0, 3) })])).out).toContain('data-site="pk_elsewhere"');
    expect(await tag([site({ writeKeys: writeKeys.slice(0, 2) })])).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringContaining("npx polder key add write"),
    });
  });

  it("asks which site when there are several, and knows none that is not there", async () => {
    const sites = [site(), site({ id: "blog", writeKeys: [{ key: "pk_87654321" }] })];
    expect(await tag(sites)).toMatchObject({ code: 2, out: "", err: expect.stringContaining("--site: shop, blog") });
    expect((await tag(sites, "--site", "blog")).out).toContain("pk_87654321");
    expect(await tag(sites, "--site", "till")).toMatchObject({ code: 1, err: expect.stringContaining("shop, blog") });
  });

  it.each([
    [["--collector", "http://data.shop.example"], 2, /--collector must begin with https/],
    [["--collector", 'https://data.shop.example/"><script>?x'], 2, /--collector must be an address/],
    [["--config", "elsewhere.json"], 1, /elsewhere\.json/],
  ])("refuses %j", async (args, code, words) => {
    const refused = await tag([site()], ...args);
    expect(refused).toMatchObject({ code, out: "", err: expect.stringMatching(words) });
  });
});
