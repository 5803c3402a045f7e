import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { createAgentReader } from "./agent.ts";

const describeAgent = createAgentReader();

const windowsChrome =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const iphone =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
const ipad =
  "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1";

describe("people", () => {
  it.each([
    [windowsChrome, "desktop", "Chrome", "Windows"],
    [iphone, "mobile", "Safari", "iOS"],
    [ipad, "tablet", "Safari", "iOS"],
    ["Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "desktop", "Firefox", "Linux"],
  ])("%s", (userAgent, device, browser, os) => {
    expect(describeAgent(userAgent)).toEqual({ device, browser, os, bot: "", botScore: 0 });
  });
});

describe("bots", () => {
  it.each([
    ["Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"],
    ["curl/8.5.0", "curl"],
    [windowsChrome.replace("Chrome/", "HeadlessChrome/"), "HeadlessChrome"],
    ["Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)", "GPTBot"],
  ])("%s", (userAgent, bot) => {
    expect(describeAgent(userAgent)).toMatchObject({ device: "bot", bot, botScore: 100 });
  });

  it("are all those of the list", () => {
    const list = createRequire(import.meta.url)("crawler-user-agents") as { instances: string[] }[];
    const missed = list
      .flatMap(({ instances }) => instances)
      .filter((userAgent) => describeAgent(userAgent).bot === "");
    expect(missed).toEqual([]);
  });

  it("may be who says nothing, or nothing that is known", () => {
    expect(describeAgent("")).toMatchObject({ bot: "no user agent", botScore: 80 });
    expect(describeAgent("my-script")).toMatchObject({ bot: "unknown program", botScore: 60 });
  });
});

it("reads no more than the beginning of a long text", () => {
  expect(describeAgent(windowsChrome + " x".repeat(100_000))).toMatchObject({ browser: "Chrome", bot: "" });
});
