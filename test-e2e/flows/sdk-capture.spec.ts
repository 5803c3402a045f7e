import { expect, test, type Browser, type Page } from "@playwright/test";
import {
  startCollector,
  startSite,
  type RecordingCollector,
  type SeenEvent,
  type Site,
} from "../support/recording-collector.ts";
import { sayYes, visit } from "../support/visitor.ts";

let collector: RecordingCollector;
let site: Site;
test.beforeEach(async ({ page }) => {
  collector = await startCollector();
  site = await startSite(collector.origin);
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

/** What arrived of the type, each id once. */
const seen = (type: string): SeenEvent[] => [
  ...new Map(
    collector
      .accepted()
      .filter((event) => event.type === type)
      .map((event) => [event.messageId, event]),
  ).values(),
];
/** Properties of what was tracked under the name. */
const tracked = (name: string): { [name: string]: unknown }[] =>
  seen("track")
    .filter(({ event }) => event === name)
    .map(({ properties }) => properties!);
const flush = (page: Page): Promise<void> => page.evaluate(() => window.polder.flush());
const sentText = (): string => JSON.stringify(collector.requests.map(({ events }) => events));

for (const way of ["the Navigation API", "the history alone"]) {
  test(`a single-page app has a page view a route, seen by ${way}`, async ({ browser }) => {
    const page = await browser.newPage();
    if (way === "the history alone") {
      // Where there is no such API, `<nav id="navigation">` has its name.
      await page.addInitScript(() =>
        Object.defineProperty(window, "navigation", { value: document.createElement("nav") }),
      );
    }
    await visit(page, `${site.origin}/shop.html`);
    const before = seen("page").length;
    await sayYes(page);
    await page.evaluate(() => {
      const route = (method: "pushState" | "replaceState", path: string, title: string): void => {
        history[method]({}, "", path);
        // Frameworks set the title after the address.
        queueMicrotask(() => (document.title = title));
      };
      const steps: (() => void)[] = [
        () => route("pushState", "/a", "A"),
        () => route("pushState", "/a", "A"),
        () => route("pushState", "/b?page=2", "B"),
        () => route("replaceState", "/b?page=2#part", "B"),
      ];
      return steps.reduce((done, step) => done.then(step).then(() => window.polder.flush()), Promise.resolve());
    });
    await page.goBack();
    await page.waitForURL("**/a");
    await flush(page);
    const views = seen("page")
      .slice(before)
      .map(({ context }) => context.page);
    expect(views.map(({ path }) => path)).toEqual(["/shop.html", "/a", "/b", "/a"]);
    expect(views.slice(0, 3).map(({ title }) => title)).toEqual(["Shop", "A", "B"]);
    expect(views.slice(1).map(({ referrer }) => referrer.slice(site.origin.length))).toEqual([
      "/shop.html",
      "/a",
      "/b?page=2",
    ]);
    await page.close();
  });
}

test("a page that cleans its campaign out of the address is the same page", async ({ page }) => {
  const campaign = "utm_source=letter&gclid=1";
  await visit(page, `${site.origin}/clicks.html?page=2&${campaign}`);
  await page.evaluate(() => {
    history.replaceState({}, "", "?page=2");
    window.polder.track("Cleaned");
    history.replaceState({}, "", "?page=3");
  });
  await flush(page);
  const addressOf = ({ context }: SeenEvent): string => context.page.url.slice(site.origin.length);
  expect(seen("page").slice(1).map(addressOf)).toEqual([`/clicks.html?page=2&${campaign}`, "/clicks.html?page=3"]);
  expect(
    seen("track")
      .filter(({ event }) => event === "Cleaned")
      .map(addressOf),
  ).toEqual([`/clicks.html?page=2&${campaign}`]);
});

test("a title that comes after the address belongs to the new page, also in a batch with the old one", async ({
  page,
}) => {
  // Without engagement, which is told of a page that was seen for a second: a busy machine may take that long.
  site.tag = 'data-capture="page"';
  await visit(page, `${site.origin}/shop.html`);
  await flush(page);
  await page.evaluate(() => {
    window.polder.track("Old");
    history.pushState({}, "", "/new");
    window.polder.track("New");
    setTimeout(() => (document.title = "New title"), 50); // not a wait: what is tested is a title that comes late
  });
  await collector.until(() => seen("page").length === 3);
  const batch = collector.requests
    .at(-1)!
    .events.map(({ type, event, context }) => [event ?? type, context.page.path, context.page.title]);
  expect(batch).toEqual([
    ["Old", "/shop.html", "Shop"],
    ["page", "/new", "New title"],
    ["New", "/new", "New title"],
  ]);
});

test("a title that comes late is waited for, also when older events are about to be sent", async ({ page }) => {
  await page.evaluate(() => {
    window.polder.track("Old");
    // not a wait: the moment of the route matters, shortly before the old event leaves
    setTimeout(() => {
      history.pushState({}, "", "/new");
      // not a wait: frameworks set the title after they have rendered
      setTimeout(() => (document.title = "New title"), 60);
    }, 170);
  });
  await collector.until(() => seen("page").length === 2);
  expect(seen("page")[1]!.context.page).toMatchObject({ path: "/new", title: "New title" });
});

for (const [pageBy, paths] of [
  ["path", ["/clicks.html", "/other"]],
  ["query", ["/clicks.html", "/clicks.html?page=2", "/other"]],
  ["hash", ["/clicks.html", "/clicks.html#a", "/clicks.html?page=2", "/other"]],
] as const) {
  test(`pages are told apart by their ${pageBy}`, async ({ page }) => {
    site.tag = `data-page-by="${pageBy}"`;
    await visit(page, `${site.origin}/clicks.html`);
    await page.evaluate(() => {
      location.hash = "#a";
      for (const address of ["?page=2", "?page=2", "/other"]) history.pushState({}, "", address);
    });
    await flush(page);
    const urls = seen("page").map(({ context }) => context.page.url.slice(site.origin.length));
    expect(urls).toEqual(["/shop.html", ...paths]);
  });
}

test("clicks on links, buttons and marked elements say what was clicked", async ({ page }) => {
  for (const id of ["add", "away", "mail", "stops", "text"]) await page.click(`#${id}`);
  await flush(page);
  const selectorOf = (element: string): string => `html > body > ${element}`;
  const link = { outbound: false, download: false };
  expect(seen("track").map(({ event, properties }) => ({ event, ...properties }))).toEqual([
    { event: "Product Added", selector: selectorOf("button#add"), text: "Add", order_id: "7", currency: "EUR" },
    {
      event: "Clicked",
      selector: selectorOf("a#away"),
      text: "Elsewhere",
      href: "https://away.example/path",
      outbound: true,
      download: false,
    },
    { event: "Clicked", selector: selectorOf("a#mail"), text: "Write to [email]", href: "mailto:", ...link },
    { event: "Clicked", selector: selectorOf("button#stops"), text: "Stops" },
  ]);
});

test("a click says whether it downloads, and where on the page it was, without names that a build made", async ({
  page,
}) => {
  await visit(page, `${site.origin}/clicks.html`);
  await page.evaluate(() => document.addEventListener("click", (event) => event.preventDefault()));
  for (const name of ["Deep", "Price list", "Export", "About", "Buy"]) await page.getByText(name).click();
  await flush(page);
  expect(tracked("Clicked").map(({ selector, href, download }) => [selector, href, download])).toEqual([
    ["nav.main > ul.links > li > a#deep", `${site.origin}/next.html`, false],
    ["html > body > a#file", `${site.origin}/files/price-list.PDF`, true],
    ["html > body > a#attribute", `${site.origin}/export`, true],
    ["html > body > a#page", `${site.origin}/about.php`, false],
    ["html > body > div > button.buy", undefined, undefined],
  ]);
  expect(sentText()).not.toMatch(/for=someone|css-1x|sc-bd|:r1:/);
});

test("a link tells no mail address in its path", async ({ page }) => {
  await page.evaluate(() => {
    document.querySelector<HTMLAnchorElement>("#away")!.href = "https://away.example/u/canary@example.com/reset";
  });
  await page.click("#away");
  await flush(page);
  expect(tracked("Clicked").map(({ href }) => href)).toEqual(["https://away.example/u/[email]/reset"]);
});

test("clicks never tell a card number or what is private", async ({ page }) => {
  for (const id of ["card", "private", "holds-private"]) await page.click(`#${id}`);
  await flush(page);
  expect(seen("track").map(({ properties }) => properties)).toEqual([
    { selector: "html > body > button#card", text: "Pay with [number]" },
    { selector: "html > body > button#holds-private" },
  ]);
  expect(sentText()).not.toMatch(/4111|Jane/);
});

test("a submitted form tells its fields by name and nothing of what is in them", async ({ page }) => {
  await Promise.all([page.waitForURL("**/next.html*"), page.click("#pay-now")]);
  await collector.until(() => tracked("Form Submitted").length === 1);
  expect(tracked("Form Submitted")).toEqual([{ form: "pay", fields: ["email", "note"] }]);
  // The address of the next page holds the other values, because the form is sent with GET: the page's own doing.
  const ours = JSON.stringify(seen("track").concat(seen("identify")));
  expect(ours).not.toMatch(/hunter2|hidden-value|4111|987654|jane@|a note of mine/);
  expect(seen("identify")).toEqual([]);
  await collector.until(() => seen("page").length === 2);
  // But none that is secret by its name, or a mail address.
  expect(sentText()).not.toMatch(/hunter2|hidden-value|4111|jane/);
});

test("a form that was changed and not submitted says how far the visitor came, once", async ({ page }) => {
  await visit(page, `${site.origin}/forms.html`);
  await page.fill("#contact [name=subject]", "canary-subject");
  await page.fill("#contact [name=password]", "canary-password");
  await page.selectOption("[name=topic]", "Support");
  await page.fill("#contact [name=subject]", "canary-again");
  await page.fill("#contact [name=message]", "canary-message");
  await page.focus("#contact [name=email]");
  await page.fill("[name=q]", "canary-query");
  await page.click("#next");
  await page.waitForURL("**/next.html");
  await collector.until(() => tracked("Form Abandoned").length === 2);
  expect(tracked("Form Abandoned")).toEqual([
    { form: "contact", fields: ["subject", "topic", "message"], last_field: "message" },
    { form: "search", fields: ["q"], last_field: "q" },
  ]);
  // How long the page before it was seen is told where that was a second.
  const { path } = collector.accepted()[0]!.context.page;
  const ofForms = seen("track").filter(
    ({ event, context }) => event !== "Page Engagement" || context.page.path !== path,
  );
  for (const { context } of ofForms) expect(context.page.path).toBe("/forms.html");
  expect(sentText()).not.toContain("canary");
});

test("a route of a single-page app leaves a form too, on the page that it was on", async ({ page }) => {
  await visit(page, `${site.origin}/forms.html`);
  await page.fill("#contact [name=subject]", "canary-subject");
  await page.evaluate(() => {
    history.pushState({}, "", "/a");
    history.pushState({}, "", "/b");
  });
  await flush(page);
  const abandoned = seen("track").filter(({ event }) => event === "Form Abandoned");
  expect(abandoned.map(({ context }) => context.page.path)).toEqual(["/forms.html"]);
  const inOrder = [abandoned[0]!, ...seen("page").slice(-2)].map(({ context }) => context.session!.seq);
  expect(inOrder, "what ends with a page comes before the next one").toEqual([...inOrder].sort((a, b) => a - b));
});

test("a form that was sent, by whatever means, is not abandoned", async ({ page }) => {
  await visit(page, `${site.origin}/forms.html`);
  await page.fill("#contact [name=subject]", "Tulips");
  await page.evaluate(() => addEventListener("submit", (event) => event.preventDefault(), { once: true }));
  await page.click("#send");
  await page.fill("[name=q]", "tulips");
  await page.evaluate(() => new FormData(document.forms.namedItem("search")!));
  await page.fill("#by-script [name=city]", "Edam");
  await page.evaluate(() => (document.querySelector("#by-script") as HTMLFormElement).submit());
  await page.waitForURL("**/next.html*");
  // Pages send side by side: the next one's view says nothing of what came before it.
  await collector.until(() => seen("page").length === 3 && tracked("Form Submitted").length > 0);
  expect(tracked("Form Submitted")).toHaveLength(1);
  expect(tracked("Form Abandoned")).toEqual([]);
});

test("what was done before a choice is not told after it", async ({ browser }) => {
  const page = await browser.newPage();
  await page.clock.install();
  await visit(page, `${site.origin}/forms.html`);
  await page.fill("#contact [name=subject]", "Tulips");
  await page.clock.fastForward(30_000);
  await sayYes(page);
  await page.click("#next");
  await page.waitForURL("**/next.html");
  await visit(page, `${site.origin}/next.html`);
  await flush(page);
  expect(tracked("Clicked")).toHaveLength(1);
  expect(tracked("Form Abandoned")).toEqual([]);
  for (const { visible_seconds } of tracked("Page Engagement")) expect(visible_seconds).toBeLessThan(30);
  await page.close();
});

test("a marked form says who typed what, and arrives although the submit leaves the page", async ({ page }) => {
  await page.fill("#newsletter [name=email]", "  Jane@Example.COM ");
  await page.fill("#newsletter [name=first]", "Jane");
  await Promise.all([page.waitForURL("**/next.html*"), page.click("#subscribe")]);
  await collector.until(() => seen("identify").length === 1);
  const [identify] = seen("identify");
  expect(identify!.traits).toEqual({ email: "jane@example.com", firstName: "Jane" });
  expect(identify!.context.origin).toBe("declared");
  expect(identify!.userId).toBeUndefined();
});

test("a form that is named in the tag is read like a marked one, with telephone numbers in one form", async ({
  page,
}) => {
  site.tag = 'data-identify-forms="#newsletter, #other"';
  await visit(page, `${site.origin}/forms.html`);
  await page.fill("#newsletter [name=email]", "Jane@Example.com");
  await page.fill("#newsletter [name=contact]", "+31 (0)6-1234 5678");
  await page.fill("#newsletter [name=first]", "Jane");
  await page.fill("#contact [name=email]", "canary@example.com");
  await Promise.all([page.waitForURL("**/next.html*"), page.click("#subscribe")]);
  await collector.until(() => seen("identify").length === 1);
  expect(seen("identify")[0]!.traits).toEqual({ email: "jane@example.com", phone: "+31612345678", firstName: "Jane" });
  expect(sentText()).not.toContain("canary");
});

/** Puts fields into the form for the newsletter and sends it, on a page that stays. */
const submitFields = async (page: Page, fields: string): Promise<void> => {
  await page.evaluate((html) => {
    document.querySelector("#newsletter")!.insertAdjacentHTML("afterbegin", html);
    addEventListener("submit", (event) => event.preventDefault());
  }, fields);
  await page.click("#subscribe");
  await flush(page);
};

test("a code is no telephone number, and the clearest of the fields says what is one", async ({ page }) => {
  await submitFields(
    page,
    `<input type="tel" name="registration" value="87654321">
    <input type="tel" name="mobile" autocomplete="tel" value="0612345678">
    <input type="tel" name="code" value="98765432">
    <input type="tel" name="pin" value="87654321">
    <input type="tel" name="verification_code" value="76543219">
    <input type="tel" name="cvv" value="9876543">
    <input type="email" name="email" value="first@example.com">
    <input type="email" name="email" value="second@example.com">`,
  );
  expect(seen("identify").map(({ traits }) => traits)).toEqual([{ phone: "0612345678", email: "first@example.com" }]);
  expect(tracked("Form Submitted")[0]!.fields).toEqual(["registration", "mobile", "email", "first", "company"]);
});

test("codes that are no secrets are told by name", async ({ page }) => {
  const names = ["postcode", "zipcode", "promo_code", "discountcode"];
  await submitFields(page, names.map((name) => `<input name="${name}">`).join(""));
  expect(tracked("Form Submitted")[0]!.fields).toEqual([...names, "email", "first", "company"]);
});

test("a marked login identifies the user, on this page and the next", async ({ page }) => {
  await page.fill("#login [name=customer]", "customer-7");
  await Promise.all([page.waitForURL("**/next.html*"), page.click("#log-in")]);
  await collector.until(() => seen("identify").length === 1 && seen("page").length === 2);
  expect(seen("identify")[0]).toMatchObject({ userId: "customer-7", traits: {} });
  expect(seen("page")[1]!.userId).toBe("customer-7");
  expect(JSON.stringify(seen("identify"))).not.toContain("hunter2");

  await page.waitForFunction(() => "polder" in window);
  await page.evaluate(() => {
    window.polder.reset();
    window.polder.track("Someone else");
  });
  await flush(page);
  const other = seen("track").find(({ event }) => event === "Someone else")!;
  expect(other.userId).toBeUndefined();
  expect(other.anonymousId).not.toBe(seen("identify")[0]!.anonymousId);
  expect(other.context.session!.id).not.toBe(seen("identify")[0]!.context.session!.id);
});

test("a marked form is not read without consent for a profile", async ({ page }) => {
  await page.evaluate(() => window.polder.consent.set({ measurement: true }));
  await page.fill("#newsletter [name=email]", "jane@example.com");
  await page.evaluate(() => document.addEventListener("submit", (event) => event.preventDefault()));
  await page.click("#subscribe");
  await flush(page);
  expect(seen("identify")).toEqual([]);
  expect(sentText()).not.toContain("jane@");
});

test("a page out of the back/forward cache counts as viewed again", async ({ page }) => {
  await page.evaluate(() => {
    const shown = new Event("pageshow");
    Object.defineProperty(shown, "persisted", { value: true });
    window.dispatchEvent(shown);
  });
  await flush(page);
  expect(seen("page").map(({ context }) => context.page.path)).toEqual(["/shop.html", "/shop.html"]);
});

test("a prerendered page counts when it is shown", async ({ browser }) => {
  const page = await browser.newPage();
  await page.addInitScript(() =>
    Object.defineProperty(document, "prerendering", { value: true, writable: true, configurable: true }),
  );
  await visit(page, `${site.origin}/next.html`);
  const before = seen("page").length;
  await sayYes(page);
  await flush(page);
  expect(seen("page").length).toBe(before);
  await page.evaluate(() => {
    Object.defineProperty(document, "prerendering", { value: false });
    document.dispatchEvent(new Event("prerenderingchange"));
  });
  await flush(page);
  expect(seen("page").length).toBe(before + 1);
  await page.close();
});

test("calls on the stub count as made on the page of the call, and a second tag does nothing", async ({ browser }) => {
  const page = await browser.newPage();
  // @boundaries-ignore what is built, as a page would get it
  const { stub } = (await import("../../packages/sdk-browser/dist/stub.js")) as { stub: string };
  site.tag = 'data-before-choice="buffer"';
  await page.addInitScript(stub);
  await page.addInitScript(() => {
    window.polder.track("Early");
    history.replaceState({}, "", "/later");
  });
  await visit(page, `${site.origin}/shop.html?first=1`);
  await page.waitForFunction(() => !("q" in window.polder));
  await page.addScriptTag({ url: `${collector.origin}/polder.js` });
  const before = seen("page").length;
  await sayYes(page);
  await flush(page);
  const early = seen("track").find(({ event }) => event === "Early")!;
  expect(early.context.page.url).toBe(`${site.origin}/shop.html?first=1`);
  expect(
    seen("page")
      .slice(before)
      .map(({ context }) => context.page.path),
  ).toEqual(["/later"]);
  await page.close();
});

/** What the browser does when another tab is chosen, and this one again. */
const hide = (page: Page, isHidden: boolean): Promise<void> =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    const state = hidden ? "hidden" : "visible";
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }, isHidden);

/** A page whose time stands still but for what a test lets pass. */
const stillPage = async (browser: Browser, path: string): Promise<Page> => {
  const page = await browser.newPage();
  await page.clock.install();
  await visit(page, `${site.origin}/${path}`);
  await sayYes(page);
  await page.clock.pauseAt(Date.now() + 60_000);
  // What came before is told, and does not count below.
  await hide(page, true);
  await hide(page, false);
  await flush(page);
  return page;
};

test("engagement: seconds seen and used, and how far down, in parts that add up", async ({ browser }) => {
  const page = await stillPage(browser, "forms.html");
  const before = tracked("Page Engagement").length;
  const told = async (): Promise<unknown[]> => {
    await flush(page);
    return tracked("Page Engagement").slice(before);
  };
  await page.clock.fastForward(4000);
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        addEventListener("scroll", resolve, { once: true });
        scrollTo(0, 1000);
      }),
  );
  await page.clock.fastForward(60_000);
  await hide(page, true);
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  const depth = Math.round(((1000 + page.viewportSize()!.height) / height) * 100);
  const first = { visible_seconds: 64, active_seconds: 14, scroll_depth: depth };
  expect(await told()).toEqual([first]);

  // Hidden, nothing counts; a glance is not told.
  await page.clock.fastForward(100_000);
  await hide(page, false);
  await page.clock.fastForward(900);
  await hide(page, true);
  expect(await told()).toEqual([first]);

  await hide(page, false);
  await page.clock.fastForward(3000);
  await page.keyboard.press("Shift");
  await page.clock.fastForward(2000);
  await page.evaluate(() => history.pushState({}, "", "/route"));
  await page.clock.fastForward(5000);
  await hide(page, true);
  expect(await told()).toEqual([
    first,
    { visible_seconds: 5, active_seconds: 5, scroll_depth: depth },
    { visible_seconds: 5, active_seconds: 5, scroll_depth: depth },
  ]);
  const events = seen("track").filter(({ event }) => event === "Page Engagement");
  expect(events.slice(-2).map(({ context }) => context.page.path)).toEqual(["/forms.html", "/route"]);
  await page.close();
});

test("engagement leaves with the page, in one request", async ({ browser }) => {
  const page = await stillPage(browser, "forms.html");
  const before = collector.requests.length;
  const told = new Set(collector.requests.flatMap(({ events }) => events.map(({ messageId }) => messageId)));
  await page.clock.fastForward(2000);
  await page.evaluate(() => void (location.href = "/next.html"));
  await page.waitForURL("**/next.html");
  await collector.until(() => tracked("Page Engagement").length === 2);
  // A page that has not heard yet that something arrived sends it again as it goes, the same.
  const anew = collector.requests[before]!.events.filter(({ messageId }) => !told.has(messageId));
  expect(anew.map(({ event }) => event)).toEqual(["Page Engagement"]);
  await page.close();
});

test("nothing is told of engagement without consent", async ({ browser }) => {
  const page = await browser.newPage();
  await page.clock.install();
  await visit(page, `${site.origin}/forms.html`);
  const before = collector.requests.length;
  await page.clock.fastForward(30_000);
  await hide(page, true);
  await page.evaluate(() => window.polder.consent.set("none"));
  await hide(page, false);
  await page.clock.fastForward(30_000);
  await hide(page, true);
  await flush(page);
  expect(collector.requests.length).toBe(before);
  await page.close();
});

/** Opens a page that loads the file with everything in it, for these captures, and says yes. */
const visitWith = async (page: Page, path: string, captures: string): Promise<void> => {
  await page.route("**/polder.js", (route) => route.continue({ url: `${collector.origin}/polder.all.js` }));
  site.tag = `data-capture="${captures}"`;
  await visit(page, `${site.origin}/${path}`);
  await sayYes(page);
  await flush(page);
};

test("a rage click is three clicks on one place within a second, told once", async ({ browser }) => {
  const page = await browser.newPage();
  await page.clock.install();
  await visitWith(page, "clicks.html", "rage");
  await page.clock.pauseAt(Date.now() + 60_000);
  const click = async (element: string, times: number): Promise<void> => {
    for (let i = 0; i < times; i++) await page.click(element);
  };
  await click("#nothing", 2);
  await page.clock.fastForward(1001);
  await click("#nothing", 2);
  await page.clock.fastForward(1001);
  for (const element of ["#nothing", "#changes", "#later"]) await click(element, 1);
  await page.click("#text", { clickCount: 3 });
  await page.focus("#nothing");
  for (let i = 0; i < 5; i++) await page.keyboard.press("Enter");
  await flush(page);
  expect(tracked("Rage Click"), "too slow, too far apart, to select, by keyboard").toEqual([]);

  await page.clock.fastForward(1001);
  await page.evaluate(() => getSelection()!.empty());
  await click("#nothing", 5);
  await page.clock.fastForward(1001);
  await page.mouse.move(0, 0);
  for (let i = 0; i < 3; i++) await page.mouse.click(5, 700);
  await flush(page);
  expect(tracked("Rage Click")).toEqual([
    { selector: "html > body > button#nothing", text: "Nothing happens" },
    // What was not made to be clicked is not read.
    { selector: "html" },
  ]);
  await page.close();
});

test("a dead click is one that nothing came of", async ({ browser }) => {
  const page = await browser.newPage();
  await page.clock.install();
  // An answer that leaves the page where it is, however long it may take.
  await page.route("**/slow", (route) => route.fulfill({ status: 204 }));
  await visitWith(page, "clicks.html", "click,dead");
  await page.clock.pauseAt(Date.now() + 60_000);
  // What takes the browser a moment of its own, while time stands still.
  const answers: { [id: string]: () => Promise<unknown> } = {
    asks: () =>
      new Promise<void>((done) =>
        new PerformanceObserver((list) => {
          if (list.getEntries().some(({ name }) => name.endsWith("/next.html"))) done();
        }).observe({ type: "resource" }),
      ),
    scrolls: () => new Promise((done) => addEventListener("scroll", done)),
  };
  const clickAndWait = async (id: string): Promise<void> => {
    const answer = answers[id] && page.evaluate(answers[id]);
    await page.click(`#${id}`);
    await answer;
    // The report of the click goes out and is answered.
    await flush(page);
    await page.clock.runFor(2499);
  };
  for (const id of ["changes", "later", "asks", "scrolls", "routes", "invalid", "text", "slow"]) {
    await clickAndWait(id);
    await page.clock.runFor(1);
  }
  await page.click("#nothing", { modifiers: ["Shift"] });
  await page.clock.runFor(2500);
  await flush(page);
  expect(tracked("Dead Click")).toEqual([]);

  await clickAndWait("nothing");
  await flush(page);
  expect(tracked("Dead Click"), "not before its time").toEqual([]);
  await page.clock.runFor(1);
  await clickAndWait("hash");
  await page.clock.runFor(1);
  await flush(page);
  expect(tracked("Dead Click").map(({ text }) => text)).toEqual(["Nothing happens", "Nowhere"]);
  await page.close();
});

test("errors that nobody caught: each once, ten a page, and nothing of what a visitor typed", async ({ browser }) => {
  const page = await browser.newPage();
  await visitWith(page, "clicks.html", "error");
  await page.addScriptTag({
    content: `
      const fail = (message) => setTimeout(() => { throw new TypeError(message); });
      const failures = [() => fail("No card 4111 1111 1111 1111 of canary@example.com")];
      for (let i = 0; i < 3; i++) failures.push(() => fail("The same"));
      failures.push(() => void Promise.reject(new Error("Late")), () => void Promise.reject("Words"));
      failures.push(() => void Promise.reject({ canary: "object" }), () => void Promise.reject());
      failures.push(() => dispatchEvent(new ErrorEvent("error", { message: "Script error." })));
      failures.push(() => document.body.append(Object.assign(new Image(), { src: "/canary.png" })));
      failures.forEach((run) => run());
    `,
  });
  await page.waitForFunction(() => document.images[0]?.complete);
  await page.evaluate(() => window.polder.track("Told"));
  await flush(page);
  const messages = tracked("Error").map(({ message }) => message);
  // Rejections and errors are reported in turns of the browser's own.
  expect(messages).toHaveLength(4);
  expect(messages).toEqual(expect.arrayContaining(["No card [number] of [email]", "The same", "Late", "Words"]));
  expect(sentText()).not.toContain("canary");
  await page.evaluate(() => {
    for (let i = 0; i < 20; i++)
      dispatchEvent(new ErrorEvent("error", { message: `Error ${i}`, filename: "/a.js?canary#canary", lineno: i }));
  });
  await flush(page);
  expect(tracked("Error")).toHaveLength(10);
  expect(tracked("Error").at(-1)).toMatchObject({ source: "/a.js", line_number: 5 });
  expect(sentText()).not.toContain("canary");
  await page.evaluate(() => {
    history.pushState({}, "", "/another");
    dispatchEvent(new ErrorEvent("error", { message: "Error 0" }));
  });
  await flush(page);
  expect(tracked("Error")).toHaveLength(11);
  await page.close();
});

test("web vitals of the page that was loaded come in one event when it is hidden", async ({ browser }) => {
  const page = await browser.newPage();
  await visitWith(page, "clicks.html", "vitals");
  await page.waitForFunction(() => performance.getEntriesByType("paint").length > 0);
  // Before the first press: from then on the browser looks for no larger paint.
  await page.evaluate(
    () =>
      new Promise((done) =>
        new PerformanceObserver(done).observe({ type: "largest-contentful-paint", buffered: true }),
      ),
  );
  // The browser tells of an interaction when it has shown what came of it, and of the parts of a short one not at all.
  await page.evaluate(() =>
    addEventListener("click", () => {
      const from = performance.now();
      while (performance.now() - from < 150);
    }),
  );
  await page.click("#changes");
  await page.evaluate(() =>
    Promise.all([
      new Promise((done) => new PerformanceObserver(done).observe({ type: "first-input", buffered: true })),
      new Promise<void>((done) =>
        new PerformanceObserver((list) => {
          if (list.getEntries().some(({ name }) => name === "click")) done();
        }).observe({ type: "event", durationThreshold: 16, buffered: true } as PerformanceObserverInit),
      ),
    ]).then(() => {}),
  );
  await page.evaluate(() => history.pushState({}, "", "/route"));
  await hide(page, true);
  await flush(page);
  const [event, ...more] = seen("track").filter(({ event: name }) => name === "Web Vitals");
  expect(more).toEqual([]);
  expect(event!.context.page.path).toBe("/clicks.html");
  expect(Object.keys(event!.properties!).sort()).toEqual(["cls", "fcp", "inp", "lcp", "ttfb"]);
  for (const value of Object.values(event!.properties!)) expect(value).toBeGreaterThanOrEqual(0);
  await hide(page, false);
  await hide(page, true);
  await flush(page);
  expect(tracked("Web Vitals"), "nothing new").toHaveLength(1);

  await page.goto(`${site.origin}/clicks.html`);
  await page.waitForFunction(() => "polder" in window && performance.getEntriesByType("paint").length > 0);
  await page.click("#deep");
  await page.waitForURL("**/next.html");
  await collector.until(() => tracked("Web Vitals").length === 2);
  await page.close();
});

test("a hostile page gives nothing away, and sees no error of ours", async ({ browser }) => {
  const page = await browser.newPage();
  const errors: Error[] = [];
  const bodies: string[] = [];
  page.on("pageerror", (error) => errors.push(error));
  page.on("request", (request) => bodies.push(request.postData() ?? ""));
  site.tag = 'data-debug data-capture="engagement,click,form,page"';
  page.on("console", (message) => message.text().includes("error") && errors.push(new Error(message.text())));
  await visit(
    page,
    `${site.origin}/hostile.html?token=canary-parameter&mail=canary%40example.com&q=bulbs#at=canary-part`,
  );
  await sayYes(page);
  await flush(page);
  const before = seen("track").length;
  const since = (): SeenEvent[] => seen("track").slice(before);

  await page.evaluate(() => {
    const stay = (event: Event): void => event.preventDefault();
    addEventListener("click", stay);
    for (const element of document.querySelectorAll<HTMLElement>("#buttons > *, #silent button, #silent a"))
      element.click();
    (window as { closedButton?: HTMLElement }).closedButton!.click();
    document.querySelector("#open-host")!.shadowRoot!.querySelector<HTMLElement>("span")!.click();
    document.querySelector("#private-open-host")!.shadowRoot!.querySelector("button")!.click();
    removeEventListener("click", stay);
  });
  await flush(page);
  expect(
    since().map(({ event, properties }) => `${event}: ${(properties!.text as string | undefined) ?? "-"}`),
  ).toEqual([
    "Clicked: Pay with [number]",
    "Clicked: [number]",
    "Clicked: [number]",
    "Clicked: Account NL91 ABNA [number]",
    "Clicked: Citizen [number]",
    "Clicked: Call +[number]",
    "Clicked: Mail [email]",
    "Clicked: Mail [email]",
    "Clicked: Title",
    "Clicked: Value",
    "Clicked: Input",
    ...Array.from({ length: 4 }, () => "Clicked: -"),
    "Clicked: Named",
    "Clicked: Menu",
    "Clicked: Away",
    "Clicked: Signed",
    "Clicked: Mail us",
    "Clicked: Call us",
    "Clicked: Script",
    "Clicked: Data",
    "Span Clicked: Marked",
    "Clicked: Open shadow here",
  ]);

  const clickedAt = seen("track").length;
  await page.fill("#typed", "canary-typed");
  await page.fill("#typed-password", "canary-typed-password");
  await page.click("#send-plain");
  await page.fill("#typed-note", "canary-typed-note");
  await page.fill("#typed-email", "Seen@Example.com");
  await page.fill("#turns", "canary-turned");
  await page.evaluate(() => ((document.querySelector("#turns") as HTMLInputElement).type = "text"));
  await page.fill("#turns", "canary-turned-again");
  // As a browser does that fills in by itself.
  await page.evaluate(() => {
    const field = document.querySelector("#unseen") as HTMLInputElement;
    field.value = "canary-autofilled";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await page.click("#send-marked");
  // Not by the means of the test's own library, which such a form breaks.
  for (const [id, text] of [
    ["clobbered-email", "clobbered@example.com"],
    ["typed-id", "canary-clobbered"],
  ] as const) {
    await page.evaluate((name) => document.getElementById(name)!.focus(), id);
    await page.keyboard.type(text);
  }
  await page.evaluate(() => document.getElementById("send-clobbered")!.click());
  await page.fill("#in-shadow-form", "canary-in-shadow");
  await page.click("#shadow-submit");
  await page.evaluate(() => history.pushState({}, "", "/left"));
  await flush(page);

  expect(seen("identify").map(({ traits, userId }) => ({ traits, userId }))).toEqual([
    { traits: { email: "seen@example.com", food: "Cheese" }, userId: undefined },
    { traits: { email: "clobbered@example.com" }, userId: undefined },
  ]);
  const formEvents = seen("track")
    .slice(clickedAt)
    .filter(({ event }) => event !== "Clicked" && event !== "Page Engagement");
  expect(formEvents.map(({ event, properties }) => [event, properties!.form, properties!.step])).toEqual([
    ["Form Submitted", "plain", undefined],
    ["Form Submitted", "marked", undefined],
    ["Form Submitted", "clobbered", "2"],
    ["Form Abandoned", "plain", undefined],
  ]);
  expect(formEvents[0]!.properties!.fields).toEqual(["search", "mail", "phone", "note", "choice", "agree"]);
  expect(formEvents[3]!.properties!.fields).toEqual(["note"]);

  // The marked fields without a name are told by no name, and nothing of the page by any value.
  expect(bodies.join("")).not.toMatch(/canary|4111|5500|NL91ABNA|0417|111222333|0004|10005|12345678/);
  expect(bodies.join("")).toContain("q=bulbs");
  expect(errors).toEqual([]);
  await page.close();
});

test("an error of ours never reaches the page", async ({ page }) => {
  const errors: Error[] = [];
  page.on("pageerror", (error) => errors.push(error));
  await page.evaluate(() => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    window.polder.track("Cyclic", cycle);
    window.polder.track("Big", { text: "x".repeat(40_000) });
    (window.polder.track as () => void)();
    window.polder.track("Fine");
  });
  await flush(page);
  // No choice that can be read is a no.
  await page.evaluate(() => window.polder.consent.set(null));
  expect(await page.evaluate(() => window.polder.consent.get().status)).toBe("denied");
  expect(errors).toEqual([]);
  expect(seen("track").map(({ event }) => event)).toContain("Fine");
  expect(seen("track").map(({ event }) => event)).not.toContain("Big");
});
