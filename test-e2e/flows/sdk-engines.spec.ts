import { expect, test } from "@playwright/test";
import { engines, type Engine } from "../support/engine.ts";
import { startCollector, startSite, type RecordingCollector, type Site } from "../support/recording-collector.ts";

// One story in the engines that are not Chromium, where they are installed.

for (const [name, { missing, start }] of Object.entries(engines)) {
  test.describe(name, () => {
    test.skip(missing !== "", missing);

    let collector: RecordingCollector;
    let site: Site;
    let engine: Engine;
    test.beforeEach(async () => {
      collector = await startCollector();
      site = await startSite(collector.origin);
      engine = await start();
      await visit("/shop.html");
    });
    test.afterEach(async () => {
      await engine?.close();
      await site.close();
      await collector.close();
    });

    const visit = async (path: string): Promise<void> => {
      await engine.open(site.origin + path);
      // The tag is async, but it holds up the load event.
      expect(await engine.run(() => typeof window.polder.track)).toBe("function");
    };
    const flush = () => engine.run(() => window.polder.flush().then(() => null));
    const sayYes = () => engine.run(() => window.polder.consent.set("all"));
    const kept = () =>
      engine.run(async () => ({
        cookie: document.cookie,
        local: Object.keys(localStorage),
        databases: (await indexedDB.databases()).map((database) => database.name),
      }));
    const seen = (what: string) =>
      collector.accepted().filter(({ type, event }) => (type === "track" ? event : type) === what);

    test("nothing before the yes, then the page view", async () => {
      await flush();
      expect(collector.requests).toEqual([]);
      expect(await kept()).toEqual({ cookie: "", local: [], databases: [] });
      await sayYes();
      await collector.until(() => seen("page").length > 0);
      await visit("/next.html");
      await collector.until(() => seen("page").length > 1);
      expect(seen("page").map(({ context }) => context.page.title)).toEqual(["Shop", "Next"]);
      expect(new Set(seen("page").map(({ anonymousId }) => anonymousId)).size).toBe(1);
    });

    test("a click that leaves the site arrives", async () => {
      await sayYes();
      await flush();
      await engine.run(() => {
        const link = document.querySelector<HTMLAnchorElement>("#next")!;
        link.href = link.href.replace("127.0.0.1", "localhost").replace("next", "blank");
      });
      await engine.click("#next");
      await collector.until(() => seen("Clicked").length > 0);
      expect(new Set(seen("Clicked").map(({ messageId }) => messageId)).size).toBe(1);
      expect(await engine.run(() => location.hostname)).toBe("localhost");
    });

    test("20 calls, then another site: all of them arrive", async () => {
      await sayYes();
      await flush();
      await engine.run(() => {
        for (let i = 0; i < 20; i++) window.polder.track("Burst", { i });
        location.href = location.href.replace("127.0.0.1", "localhost").replace("shop", "blank");
      });
      const arrived = () => [...new Set(seen("Burst").map(({ properties }) => properties!.i))];
      await collector.until(() => arrived().length === 20);
    });

    test("what happens in an outage arrives from the next page, with the same id", async () => {
      await sayYes();
      await flush();
      collector.answer(() => "cut");
      await engine.run(() => window.polder.track("In the outage"));
      await flush();
      const tried = collector.requests.at(-1)!.events.find(({ event }) => event === "In the outage")!;
      await engine.open(`${site.origin}/blank.html`);
      collector.answer(() => ({ status: 200 }));
      await visit("/next.html");
      await collector.until(() => seen("In the outage").length > 0);
      expect(seen("In the outage").map(({ messageId }) => messageId)).toEqual([tried.messageId]);
    });

    test("a withdrawal takes everything along but the choice", async () => {
      await sayYes();
      await flush();
      expect((await kept()).local).toContain("polder_aid");
      await engine.run(() => window.polder.consent.withdraw());
      await flush();
      await expect.poll(kept).toEqual({
        cookie: expect.stringMatching(/^polder_consent=[^;]*$/),
        local: ["polder_consent"],
        databases: [],
      });
      const count = collector.requests.length;
      await engine.run(() => window.polder.track("After the no"));
      await visit("/next.html");
      await flush();
      expect(collector.requests.length).toBe(count);
    });
  });
}
