import { createRequire } from "node:module";
import type { PolderEvent } from "@polder/protocol";
import Bowser from "bowser";
import { createBoundedCache } from "./bounded-cache.ts";
import type { RequestContext, Step } from "./step.ts";

// Required, not imported: Node 20 warns about every `import` of JSON, on every start.
const crawlers = createRequire(import.meta.url)("crawler-user-agents") as readonly { pattern: string }[];

// What Bowser does not know it calls as the text calls itself, which can be a name that one person's program has.
const knownBrowsers = new Set(Object.values(Bowser.BROWSER_MAP));
const knownSystems = new Set(Object.values(Bowser.OS_MAP));

const maxUserAgentLength = 512;
const serverAgent: Agent = { device: "server", browser: "", os: "", bot: "", botScore: 0 };
const silentAgent: Agent = { device: "", browser: "", os: "", bot: "no user agent", botScore: 80 };

/**
 * Browser, system and kind of device; bots get a name and a score and are kept apart, not dropped. With a server key only
 * `context.userAgent` counts: the header names the server's HTTP library. Without consent for a profile a name that is on no list is left out.
 */
export function createAgentStep(): Step {
  const describe = createAgentReader();
  const agentOf = ({ context: stated }: PolderEvent, { key, userAgent }: RequestContext): Agent => {
    if (key.kind === "write") return describe(userAgent);
    return stated?.userAgent ? describe(stated.userAgent) : serverAgent;
  };
  return {
    name: "agent",
    run(draft, context) {
      const agent = agentOf(draft.event, context);
      const { row } = draft;
      row.device = agent.device;
      row.browser = draft.mayIdentify || knownBrowsers.has(agent.browser) ? agent.browser : "";
      row.os = draft.mayIdentify || knownSystems.has(agent.os) ? agent.os : "";
      row.bot = agent.bot;
      row.bot_score = agent.botScore;
      return draft;
    },
  };
}

interface Agent {
  /** desktop, mobile, tablet, tv, bot, server, or empty. */
  device: string;
  browser: string;
  os: string;
  /** Empty for people. */
  bot: string;
  /** 0 (a person as far as one can see) to 100 (says so itself). */
  botScore: number;
}

/** Reads user agent strings, and remembers the last thousands: a new one costs some 50 µs, a known one next to nothing. */
export function createAgentReader(): (userAgent: string) => Agent {
  const known = createBoundedCache<string, Agent>(5_000);
  const patterns = crawlers.map(({ pattern }) => new RegExp(pattern));
  const anyCrawler = new RegExp(crawlers.map(({ pattern }) => pattern).join("|"));

  const read = (userAgent: string): Agent => {
    const isCrawler = anyCrawler.test(userAgent);
    const crawler = isCrawler ? patterns.find((pattern) => pattern.test(userAgent)) : undefined;
    const bot =
      crawler === undefined ? "" : (crawler.exec(userAgent)?.[0] ?? "").replace(/[/;()\s]+$/, "").slice(0, 60);
    const { browser, os, platform } = Bowser.parse(userAgent);
    const common = { browser: browser.name ?? "", os: os.name ?? "" };
    if (bot !== "" || platform.type === "bot")
      return { ...common, device: "bot", bot: bot || common.browser || "unknown bot", botScore: 100 };
    // No browser that people use keeps to itself which one it is, and on what it runs.
    if (platform.type === undefined) return { ...common, device: "", bot: "unknown program", botScore: 60 };
    return { ...common, device: platform.type, bot: "", botScore: 0 };
  };
  return (userAgent) => {
    if (userAgent === "") return silentAgent;
    const key = userAgent.length > maxUserAgentLength ? userAgent.slice(0, maxUserAgentLength) : userAgent;
    let agent = known.get(key);
    if (agent === undefined) {
      agent = read(key);
      known.set(key, agent);
    }
    return agent;
  };
}
