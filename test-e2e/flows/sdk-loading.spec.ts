import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, type BrowserContext, type Frame, type Page } from "@playwright/test";
import { build } from "esbuild";
import { startPageServer, type PageServer } from "../support/page-server.ts";
import { startCollector, type RecordingCollector, type SeenEvent } from "../support/recording-collector.ts";
import { keptBy } from "../support/visitor.ts";
import { withoutFeatures, type Feature } from "../support/without-features.ts";

// However the script gets onto a page: nothing before the yes, then the page view, once, and the page notices nothing.

const dist = new URL("../../packages/sdk-browser/dist/", import.meta.url);
const script = readFileSync(new URL("polder.js", dist), "utf8");
const { "polder.js": integrity } = JSON.parse(readFileSync(new URL("polder.sri.json", dist), "utf8")) as {
  "polder.js": string;
};

let collector: RecordingCollector;
let site: PageServer;
let faults: string[];
test.beforeEach(async () => {
  collector = await startCollector();
  site = await startPageServer();
  faults = [];
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

/** What the page would notice: exceptions, rejected promises, errors in the console, violations of its policy. */
const watch = (page: Page): void => {
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
};
test.beforeEach(({ page }) => watch(page));

const tag = (attributes = ""): string =>
  `<script async src="${collector.origin}/polder.js" data-site="pk_test" ${attributes}></script>`;
const html = (head: string, body = ""): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Home</title><link rel="icon" href="data:,">${head}</head><body>${body}</body></html>`;

const isThere = (where: Page | Frame): Promise<unknown> =>
  where.waitForFunction(() => {
    const { polder } = window as Partial<Window>;
    return typeof polder?.track === "function" && !Object.hasOwn(polder, "q");
  });
const views = (): SeenEvent[] => collector.accepted().filter(({ type }) => type === "page");
const named = (name: string): SeenEvent[] => collector.accepted().filter(({ event }) => event === name);

const faultOfStorage = (where: Page | Frame): Promise<string> =>
  where.evaluate(() => {
    try {
      return localStorage.length.toString();
    } catch (error) {
      return (error as Error).name;
    }
  });

/** The whole promise, for a page or a frame that Polder is on its way to. */
async function expectOneView(where: Page | Frame, path = "/"): Promise<void> {
  await isThere(where);
  await where.evaluate(() => window.polder.flush());
  expect(collector.requests).toEqual([]);
  await where.evaluate(() => window.polder.consent.set("all"));
  await collector.until(() => views().length > 0);
  // A second view would be there before an event that comes after it.
  await where.evaluate(() => window.polder.track("Later"));
  await collector.until(() => named("Later").length > 0);
  expect(views().map(({ context }) => context.page.path)).toEqual([path]);
  expect(named("Later")).toHaveLength(1);
  expect(faults).toEqual([]);
}

test("one tag: it adds one name to the page, changes nothing of the page's own, and keeps nothing before the yes", async ({
  page,
}) => {
  await page.addInitScript(() => {
    const own = { fetch, Promise, stringify: JSON.stringify, pushState: history.pushState, on: addEventListener };
    const names = Object.getOwnPropertyNames(window);
    Object.defineProperty(document, "before", { value: { own, names } });
  });
  site.serve("/", html(tag()));
  await page.goto(site.origin);
  await isThere(page);
  expect(await keptBy(page)).toEqual({ cookies: [], local: [], session: [], databases: [] });
  await expectOneView(page);
  const changes = await page.evaluate(() => {
    const { own, names } = (document as unknown as { before: { own: object; names: string[] } }).before;
    const now = { fetch, Promise, stringify: JSON.stringify, pushState: history.pushState, on: addEventListener };
    return {
      added: Object.getOwnPropertyNames(window).filter((name) => !names.includes(name)),
      changed: Object.keys(now).filter((name) => now[name as "fetch"] !== own[name as keyof typeof own]),
    };
  });
  expect(changes).toEqual({ added: ["polder"], changed: [] });
});

for (const [how, head] of [
  ["at once", "src"],
  ["deferred", "defer src"],
  ["as a module", 'type="module" src'],
] as const) {
  test(`the tag ${how}`, async ({ page }) => {
    // Another's script has an attribute of that name.
    const other = '<script type="text/plain" data-site="42"></script>';
    site.serve("/", html(`${other}<script ${head}="${collector.origin}/polder.js" data-site="pk_test"></script>`));
    await page.goto(site.origin);
    await expectOneView(page);
    expect(collector.requests[0]!.body.writeKey).toBe("pk_test");
  });
}

test("the stub keeps each call with the address, title, referrer and time of its moment", async ({ page }) => {
  const { stub } = (await import(new URL("browser.js", dist).href)) as { stub: string };
  site.serve("/from", html("", `<a href="/start?step=1&token=s3cret">Start</a>`));
  site.serve("/start", html(`<script>${stub}</script>`));
  await page.goto(`${site.origin}/from`);
  await page.click("a");
  await page.waitForURL("**/start?*");
  const [from, to] = await page.evaluate(() => {
    const { polder } = window;
    document.title = "Start";
    polder.consent.set("all");
    const before = Date.now();
    polder.track("Early", { step: 1 });
    const after = Date.now();
    history.pushState({}, "", "/later");
    document.title = "Later";
    polder.track("Late", { step: 2 });
    return [before, after] as const;
  });
  expect(collector.requests).toEqual([]);
  await page.evaluate((origin) => {
    history.pushState({}, "", "/last");
    document.title = "Last";
    const late = document.createElement("script");
    late.src = `${origin}/polder.js`;
    late.dataset.site = "pk_test";
    document.head.append(late);
  }, collector.origin);
  await isThere(page);
  await collector.until(() => [views(), named("Early"), named("Late")].every((events) => events.length > 0));
  const pageOf = (event: SeenEvent | undefined) => event?.context.page;
  expect(pageOf(named("Early")[0])).toMatchObject({
    url: `${site.origin}/start?step=1&token=`,
    title: "Start",
    referrer: `${site.origin}/from`,
  });
  const madeAt = Date.parse(named("Early")[0]!.timestamp);
  expect([madeAt >= from, madeAt <= to], `${from} <= ${madeAt} <= ${to}`).toEqual([true, true]);
  expect(pageOf(named("Late")[0])).toMatchObject({ url: `${site.origin}/later`, title: "Later" });
  expect(views().map(({ context }) => context.page.title)).toEqual(["Last"]);
  expect(named("Early")).toHaveLength(1);
  expect(JSON.stringify(collector.requests)).not.toContain("s3cret");
  expect(faults).toEqual([]);
});

test("data-capture takes names with spaces, and says which it does not know", async ({ page }) => {
  const said: string[] = [];
  page.on("console", (message) => message.type() === "warning" && said.push(message.text()));
  site.serve("/", html(tag('data-capture=" page, clicks  click"'), '<button id="button">Buy</button>'));
  await page.goto(site.origin);
  await expectOneView(page);
  await page.click("#button");
  await collector.until(() => named("Clicked").length > 0);
  expect(said).toHaveLength(1);
  expect(said[0]).toContain("clicks");
});

test("data-capture without names captures nothing and says nothing", async ({ page }) => {
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  site.serve("/", html(tag('data-capture=""')));
  await page.goto(site.origin);
  await isThere(page);
  await page.evaluate(() => {
    window.polder.consent.set("all");
    window.polder.track("Later");
  });
  await collector.until(() => named("Later").length > 0);
  expect(views()).toEqual([]);
  expect(said).toEqual([]);
});

for (const [value, isOn] of [
  ["", true],
  ["true", true],
  ["false", false],
] as const) {
  test(`data-debug="${value}" is ${isOn ? "on" : "off"}`, async ({ page }) => {
    const said: string[] = [];
    page.on("console", (message) => said.push(message.text()));
    site.serve("/", html(tag(`data-debug="${value}"`)));
    await page.goto(site.origin);
    await expectOneView(page);
    expect(said.length > 0).toBe(isOn);
  });
}

test("an element with the id polder does not keep the stub away", async ({ page }) => {
  const { stub } = (await import(new URL("browser.js", dist).href)) as { stub: string };
  site.serve("/", html("", `<div id="polder"></div><script>${stub};polder.track("Early")</script>${tag()}`));
  await page.goto(site.origin);
  await expectOneView(page);
});

test("a bundler keeps the files for tags", async () => {
  for (const name of ["polder.js", "polder.all.js", "polder-overlay.js"]) {
    const { outputFiles } = await build({
      stdin: { contents: `import "@polder/browser/${name}"`, resolveDir: fileURLToPath(dist) },
      bundle: true,
      write: false,
    });
    expect(outputFiles[0]!.text.length, name).toBeGreaterThan(1000);
  }
});

test("the stub has every call that Polder has, but the one that needs an answer", async ({ page }) => {
  const { stub } = (await import(new URL("browser.js", dist).href)) as { stub: string };
  const calls = (): Promise<string[]> =>
    page.evaluate(() =>
      Object.entries(window.polder)
        .flatMap(([name, value]) =>
          typeof value === "function" ? [name] : Object.keys(value).map((part) => `${name}.${part}`),
        )
        .toSorted(),
    );
  site.serve("/stub", html(`<script>${stub}</script>`));
  await page.goto(`${site.origin}/stub`);
  const early = (await calls()).filter((name) => !name.startsWith("q."));
  site.serve("/", html(tag()));
  await page.goto(site.origin);
  await isThere(page);
  expect(early).toEqual((await calls()).filter((name) => name !== "consent.get"));
});

test("a page that kept the stub in a variable goes on with it", async ({ page }) => {
  const { stub } = (await import(new URL("browser.js", dist).href)) as { stub: string };
  site.serve("/", html(`<script>${stub};var kept = window.polder</script>${tag()}`));
  await page.goto(site.origin);
  await isThere(page);
  await page.evaluate(() => {
    const { kept } = window as unknown as { kept: Window["polder"] };
    kept.consent.set("all");
    kept.track("By the stub");
  });
  await collector.until(() => named("By the stub").length === 1);
  expect(views()).toHaveLength(1);
  expect(faults).toEqual([]);
});

test("injected by a script long after the page has loaded", async ({ page }) => {
  site.serve("/", html("<script data-site='not the tag' type='text/plain'></script>"));
  await page.goto(site.origin, { waitUntil: "load" });
  await page.evaluate((origin) => {
    const late = document.createElement("script");
    late.src = `${origin}/polder.js`;
    late.dataset.site = "pk_test";
    document.head.append(late);
  }, collector.origin);
  await expectOneView(page);
  expect(collector.requests[0]!.body.writeKey).toBe("pk_test");
});

test("loaded twice, the second does nothing and says so", async ({ page }) => {
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  site.serve("/", html(tag("defer") + tag('defer data-capture=""').replace("async", "")).replace("async", ""));
  await page.goto(site.origin, { waitUntil: "load" });
  await expectOneView(page);
  expect(said.filter((text) => text.includes("loaded twice"))).toHaveLength(1);
});

test.describe("a strict policy", () => {
  const policies: [name: string, policy: () => string, head: () => string][] = [
    [
      "the collector's origin",
      () =>
        `script-src ${collector.origin}; connect-src ${collector.origin}; require-trusted-types-for 'script'; trusted-types 'none'`,
      () => tag(),
    ],
    [
      "the hash of the file",
      () => `script-src '${integrity}'; connect-src ${collector.origin}`,
      () => tag(`integrity="${integrity}" crossorigin`),
    ],
    [
      "a nonce",
      () => `script-src 'nonce-n0nce' 'strict-dynamic'; connect-src ${collector.origin}`,
      () => tag('nonce="n0nce"'),
    ],
  ];
  for (const [name, policy, head] of policies) {
    test(`that names ${name}`, async ({ page }) => {
      await page.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) => {
          if (!event.blockedURI.startsWith("data")) console.error(`${event.effectiveDirective} ${event.blockedURI}`);
        });
      });
      site.serve("/", html(head()).replace(/<link[^>]*>/, ""), {
        "content-security-policy": `default-src 'none'; ${policy()}`,
      });
      // Browsers ask for it by themselves, and an answer of 404 is an error in the console.
      site.serve("/favicon.ico", "");
      await page.goto(site.origin);
      await expectOneView(page);
    });
  }

  test("a file that is not the one of the hash does not run", async ({ page }) => {
    const other = integrity.replace(/.{4}$/, "AAAA");
    site.serve("/", html(tag(`integrity="${other}" crossorigin onerror="document.title = 'refused'"`)));
    await page.goto(site.origin);
    await expect(page).toHaveTitle("refused");
    expect(await page.evaluate(() => typeof window.polder)).toBe("undefined");
  });
});

test.describe("under the site's own name", () => {
  test.beforeEach(() => {
    site.serve("/assets/shop.js", script);
    site.proxy("/metrics-folder", collector.origin);
  });
  const cases: [name: string, head: () => string][] = [
    [
      "a renamed file, and a path that leads to the collector",
      () => `src="/assets/shop.js" data-host="/metrics-folder"`,
    ],
    ["an address with a path", () => `src="/assets/shop.js" data-host="${site.otherOrigin}/metrics-folder"`],
    ["an address that ends with a slash", () => `src="/assets/shop.js" data-host="/metrics-folder/"`],
    ["everything of the collector below a folder", () => `src="/metrics-folder/polder.js"`],
  ];
  for (const [name, attributes] of cases) {
    test(name, async ({ page }) => {
      const asked: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      site.serve("/", html(`<script async data-site="pk_test" ${attributes()}></script>`));
      await page.goto(site.origin);
      await expectOneView(page);
      expect(asked.filter((url) => url.startsWith(collector.origin))).toEqual([]);
    });
  }
});

test.describe("on plain http", () => {
  test("where ids, locks and the cookie have no secure context", async ({ playwright, launchOptions }) => {
    const browser = await playwright.chromium.launch({
      ...launchOptions,
      args: [...(launchOptions.args ?? []), "--host-resolver-rules=MAP *.example.com 127.0.0.1"],
    });
    try {
      const page = await browser.newPage();
      watch(page);
      site.serve("/", html(tag().replace("127.0.0.1", "data.example.com")));
      await page.goto(site.origin.replace("127.0.0.1", "www.example.com"));
      expect(await page.evaluate(() => [isSecureContext, "randomUUID" in crypto, "locks" in navigator])).toEqual([
        false,
        false,
        false,
      ]);
      await expectOneView(page);
    } finally {
      await browser.close();
    }
  });
});

test.describe("in a frame", () => {
  const frameOf = async (page: Page): Promise<Frame> => {
    await page.waitForFunction(() => frames.length === 1);
    return page.frames()[1]!;
  };
  test.beforeEach(() => site.serve("/frame", html(tag())));

  test("of the same site", async ({ page }) => {
    site.serve("/", html("", `<iframe src="/frame"></iframe>`));
    await page.goto(site.origin);
    await expectOneView(await frameOf(page), "/frame");
  });

  test("of another site", async ({ page }) => {
    site.serve("/", html("", `<iframe src="${site.otherOrigin}/frame"></iframe>`));
    await page.goto(site.origin);
    await expectOneView(await frameOf(page), "/frame");
  });

  test("in a sandbox without an origin, where all storage throws", async ({ page }) => {
    site.serve("/", html("", `<iframe sandbox="allow-scripts" src="/frame"></iframe>`));
    await page.goto(site.origin);
    const frame = await frameOf(page);
    await isThere(frame);
    expect(await faultOfStorage(frame)).toBe("SecurityError");
    await expectOneView(frame, "/frame");
  });

  test("written into the page, without an address of its own", async ({ page }) => {
    site.serve("/", html("", `<iframe srcdoc='${html(tag().replaceAll("'", ""))}'></iframe>`));
    await page.goto(site.origin);
    const frame = await frameOf(page);
    await isThere(frame);
    await frame.evaluate(() => window.polder.consent.set("all"));
    await collector.until(() => views().length === 1);
    expect(faults).toEqual([]);
  });
});

test.describe("with less than a whole browser", () => {
  const conditions: [name: string, features: Feature[]][] = [
    ["localStorage is blocked", ["localStorage"]],
    ["there is no IndexedDB", ["indexedDB"]],
    ["IndexedDB cannot be opened", ["an indexedDB that opens"]],
    ["IndexedDB never answers", ["an indexedDB that answers"]],
    ["cookies are blocked", ["cookies"]],
    ["there is no lock", ["navigator.locks"]],
    ["all storage is blocked", ["localStorage", "indexedDB", "cookies"]],
    [
      "it is as WebKit was",
      [
        "navigation",
        "AbortSignal.timeout",
        "requestIdleCallback",
        "navigator.locks",
        "crypto.randomUUID",
        "fetchLater",
        "an indexedDB that answers",
      ],
    ],
    ["it is as Firefox was", ["navigation", "fetch keepalive", "fetchLater", "an indexedDB that opens"]],
    [
      "nothing is there that can be missed",
      [
        "localStorage",
        "indexedDB",
        "cookies",
        "navigator.locks",
        "navigation",
        "AbortSignal.timeout",
        "fetch keepalive",
        "fetchLater",
        "crypto.randomUUID",
        "crypto.subtle",
        "requestIdleCallback",
        "navigator.sendBeacon",
      ],
    ],
  ];
  for (const [name, features] of conditions) {
    test(name, async ({ page }) => {
      await withoutFeatures(page, features);
      site.serve("/", html(tag()));
      await page.goto(site.origin);
      await expectOneView(page);
    });
  }

  test("localStorage is full", async ({ page }) => {
    site.serve("/fill", html(""));
    await page.goto(`${site.origin}/fill`);
    await page.evaluate(() => {
      let chunk = "x".repeat(1 << 20);
      for (let i = 0; chunk; i++) {
        try {
          localStorage.setItem(`own${i}`, chunk);
        } catch {
          chunk = chunk.slice(chunk.length / 2 + 1);
        }
      }
    });
    const before = await page.evaluate(() => Object.keys(localStorage).toSorted());
    site.serve("/", html(tag()));
    await page.goto(site.origin);
    await expectOneView(page);
    expect(await page.evaluate(() => Object.keys(localStorage).toSorted())).toEqual(before);
  });

  test("the visitor has blocked the site's data in the settings", async ({ playwright, launchOptions }) => {
    const profile = mkdtempSync(join(tmpdir(), "polder-profile-"));
    let context: BrowserContext | undefined;
    try {
      mkdirSync(join(profile, "Default"));
      writeFileSync(
        join(profile, "Default", "Preferences"),
        JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }),
      );
      context = await playwright.chromium.launchPersistentContext(profile, launchOptions);
      const page = await context.newPage();
      watch(page);
      site.serve("/", html(tag()));
      await page.goto(site.origin);
      expect(await faultOfStorage(page)).toBe("SecurityError");
      await expectOneView(page);
    } finally {
      await context?.close();
      // Its other processes write there until they have noticed.
      rmSync(profile, { recursive: true, force: true, maxRetries: 50 });
    }
  });

  test("a window that is gone leaves nothing to the next one", async ({ browser }) => {
    site.serve("/", html(tag()));
    for (let visit = 1; visit <= 2; visit++) {
      const context = await browser.newContext();
      const page = await context.newPage();
      watch(page);
      await page.goto(site.origin);
      await isThere(page);
      expect(await keptBy(page)).toEqual({ cookies: [], local: [], session: [], databases: [] });
      await page.evaluate(() => window.polder.consent.set("all"));
      await collector.until(() => views().length === visit);
      // Answered: a page that leaves earlier sends it once more, with the same id.
      await page.evaluate(() => window.polder.flush());
      await context.close();
    }
    const [first, second] = views();
    expect(first!.anonymousId).not.toBe(second!.anonymousId);
    expect(faults).toEqual([]);
  });
});

test.describe("a page that is in the way", () => {
  // Each runs before the script and is something that pages really have.
  const pages: [name: string, hostile: () => void][] = [
    [
      "JSON.stringify is the page's own",
      () => {
        const original = JSON.stringify;
        JSON.stringify = ((value: unknown, ...rest: []) => original(value, ...rest)) as typeof JSON.stringify;
      },
    ],
    [
      "old prototypes have extras that can be enumerated",
      () => {
        Object.assign(Object.prototype, { extend: () => {}, page: "extra", q: 1, c: 2, k: "extra" });
        Object.assign(Array.prototype, { each: () => {}, contains: () => {} });
        Object.assign(String.prototype, { toArray: () => [] });
      },
    ],
    [
      "arrays have a toJSON",
      () => {
        Object.assign(Array.prototype, {
          toJSON(this: unknown[]): string {
            return `[${this.map((item) => JSON.stringify(item)).join()}]`;
          },
        });
      },
    ],
    [
      "Array.from takes one argument only",
      () => {
        Array.from = ((items: ArrayLike<unknown>) => Array.prototype.slice.call(items)) as typeof Array.from;
      },
    ],
    [
      "promises run in zones",
      () => {
        const { then } = Promise.prototype;
        void Object.assign(Promise.prototype, {
          // oxlint-disable-next-line unicorn/no-thenable -- what zone.js does
          then(this: Promise<unknown>, ...args: []) {
            return then.apply(this, args);
          },
        });
        Object.assign(window, { Promise: class ZonePromise<T> extends Promise<T> {} });
      },
    ],
    [
      "timers, fetch and listeners are wrapped",
      () => {
        const { fetch: original, setTimeout: later } = window;
        window.fetch = (...args) => original.apply(window, args);
        Object.assign(window, { setTimeout: (run: () => void, ms: number) => later(() => run(), ms) });
        const { addEventListener } = EventTarget.prototype;
        EventTarget.prototype.addEventListener = function (type, listener, options) {
          addEventListener.call(this, type, listener && ((event) => (listener as EventListener)(event)), options);
        };
      },
    ],
  ];
  for (const [name, hostile] of pages) {
    test(name, async ({ page }) => {
      site.serve("/", html(`<script>(${String(hostile)})()</script>${tag()}`));
      await page.goto(site.origin);
      await expectOneView(page);
    });
  }

  test("elements have the names that the script uses", async ({ page }) => {
    site.serve(
      "/",
      html(
        "",
        `<form id="polder"><input name="q"></form><div id="navigation"></div>
        <form name="title"></form><img name="cookie"><form name="referrer"></form><img name="currentScript">
        <form name="hidden"></form>${tag()}`,
      ),
    );
    await page.goto(site.origin);
    await expectOneView(page);
  });

  for (const [name, hostile] of [
    [
      "JSON.stringify throws",
      () => {
        JSON.stringify = (): string => {
          throw new Error("not here");
        };
      },
    ],
    [
      "fetch throws at once",
      () => {
        window.fetch = () => {
          throw new Error("not here");
        };
      },
    ],
  ] as const) {
    test(`${name}: no fault of ours reaches the page`, async ({ page }) => {
      site.serve("/", html(`<script>(${String(hostile)})()</script>${tag()}`));
      await page.goto(site.origin);
      await isThere(page);
      await page.evaluate(async () => {
        const { polder } = window;
        polder.consent.set("all");
        polder.track("Anything", { list: [1] });
        polder.identify("7", { tags: ["a"] });
        await polder.flush();
        polder.reset();
        history.pushState({}, "", "/other");
        await polder.flush();
        polder.consent.withdraw();
      });
      expect(faults).toEqual([]);
    });
  }

  test("arguments that no event can hold", async ({ page }) => {
    site.serve("/", html(tag()));
    await page.goto(site.origin);
    await isThere(page);
    await page.evaluate(async () => {
      const polder = window.polder as unknown as { [call: string]: (...args: unknown[]) => unknown };
      window.polder.consent.set("all");
      const circle: { self?: object } = {};
      circle.self = circle;
      const throwing = {
        get trap(): never {
          throw new Error("not for reading");
        },
      };
      for (const call of ["track", "page", "identify", "group", "alias", "ready", "debug"]) {
        for (const arg of [circle, throwing, 10n, Symbol("s"), null, undefined, () => {}, Object.create(null)]) {
          polder[call]!(arg);
          polder[call]!("Name", arg, arg);
        }
      }
      window.polder.track("After all that");
      await window.polder.flush();
    });
    await collector.until(() => named("After all that").length === 1);
    expect(faults).toEqual([]);
  });
});
