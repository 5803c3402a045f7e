import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

// Over the DevTools protocol alone: Playwright keeps every page visible, and here a tab must be hidden as a visitor hides it.

const answerWithinMs = 120_000;

const findChromium = () => {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
    (path) => path !== undefined && existsSync(path),
  );
  if (found === undefined) throw new Error("No Chromium found. Name one in CHROMIUM.");
  return found;
};

const launch = (executable, folder, version, keepsPages) =>
  spawn(
    executable,
    [
      "--headless",
      "--no-sandbox",
      "--no-first-run",
      "--disable-blink-features=AutomationControlled",
      "--remote-debugging-pipe",
      `--user-data-dir=${join(folder, "profile")}`,
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-dev-shm-usage",
      // What the window around the pages does by itself, at a time of its own.
      "--disable-extensions",
      "--disable-component-extensions-with-background-pages",
      "--disable-default-apps",
      "--disable-field-trial-config",
      "--disable-search-engine-choice-screen",
      "--disable-sync",
      "--disable-features=Translate,MediaRouter,DialMediaRouteProvider,OptimizationHints,GlobalMediaControls,LensOverlay,HttpsUpgrades",
      "--no-service-autorun",
      "--metrics-recording-only",
      "--mute-audio",
      "--ignore-certificate-errors",
      // A page that is kept goes on for a while after it was left. Many are not kept, and those are the hard case.
      ...(keepsPages ? [] : ["--disable-back-forward-cache"]),
      // Nothing here may reach the internet; what tries learns so at once.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
      // A headless browser says so, and some SDKs send nothing then.
      `--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${version}.0.0.0 Safari/537.36`,
    ],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
  );

/** Messages to and from the browser, each ended by a zero byte. */
function createConnection(child) {
  const [, , , input, output] = child.stdio;
  const waiting = new Map();
  const listeners = new Set();
  let lastId = 0;
  let rest = "";

  const take = (message) => {
    if (message.id === undefined) for (const listen of listeners) listen(message);
    else {
      const { resolve, reject, method } = waiting.get(message.id) ?? {};
      waiting.delete(message.id);
      if (message.error) reject?.(new Error(`${method}: ${message.error.message}`));
      else resolve?.(message.result);
    }
  };
  output.setEncoding("utf8").on("data", (text) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop();
    for (const message of messages) take(JSON.parse(message));
  });
  // A browser that is being stopped does not read any more.
  input.on("error", () => {});
  child.once("exit", () => {
    for (const { reject, method } of waiting.values()) reject(new Error(`${method}: the browser has ended`));
    waiting.clear();
  });

  return {
    listeners,
    send(method, params = {}, sessionId) {
      const id = ++lastId;
      const { promise, resolve, reject } = withResolvers();
      const timer = setTimeout(() => reject(new Error(`${method}: no answer in ${answerWithinMs} ms`)), answerWithinMs);
      waiting.set(id, { resolve, reject, method });
      input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
      return promise.finally(() => {
        clearTimeout(timer);
        waiting.delete(id);
      });
    },
  };
}

function withResolvers() {
  let resolve;
  let reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}

/**
 * Starts a Chromium of its own.
 * @param folder for its profile; the caller removes it.
 * @param keepsPages whether pages go into the back/forward cache when they are left.
 */
export async function startChromium(folder, { keepsPages = false } = {}) {
  const executable = findChromium();
  const version = /(\d+)\.\d+/.exec(spawnSync(executable, ["--version"], { encoding: "utf8" }).stdout)?.[1] ?? "130";
  const child = launch(executable, folder, version, keepsPages);
  const connection = createConnection(child);
  const { send } = connection;
  await send("Browser.getVersion");

  return {
    version: Number(version),
    /** Someone with a profile of their own, empty but for the cookies. */
    async newVisitor(cookies = []) {
      const { browserContextId } = await send("Target.createBrowserContext", { disposeOnDetach: true });
      if (cookies[0]) await send("Storage.setCookies", { cookies, browserContextId });
      return {
        newTab: () => newTab(connection, browserContextId),
        /** As if they had never been to that site. @param tab any of theirs, on another site. */
        async startAnew(tab, origin) {
          await tab.clearStorage(origin);
          await send("Storage.clearCookies", { browserContextId });
          if (cookies[0]) await send("Storage.setCookies", { cookies, browserContextId });
        },
        leaveForGood: () => send("Target.disposeBrowserContext", { browserContextId }).catch(() => {}),
      };
    },
    /** Of all tabs, while `run` runs. @returns the trace's events. */
    async trace(categories, run) {
      const events = [];
      const ended = withResolvers();
      const listen = ({ method, params }) => {
        if (method === "Tracing.dataCollected") events.push(...params.value);
        if (method === "Tracing.tracingComplete") ended.resolve();
      };
      connection.listeners.add(listen);
      try {
        await send("Tracing.start", { traceConfig: { includedCategories: categories } });
        await run();
        await send("Tracing.end");
        await ended.promise;
      } finally {
        connection.listeners.delete(listen);
      }
      return events;
    },
    async stop() {
      if (child.exitCode !== null) return;
      const exited = once(child, "exit");
      await Promise.race([send("Browser.close").catch(() => {}), sleep(2_000)]);
      const timer = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await exited;
      clearTimeout(timer);
    },
  };
}

async function newTab({ send: sendToBrowser, listeners }, browserContextId) {
  const { targetId } = await sendToBrowser("Target.createTarget", { url: "about:blank", browserContextId });
  const { sessionId } = await sendToBrowser("Target.attachToTarget", { targetId, flatten: true });
  const send = (method, params) => sendToBrowser(method, params, sessionId);

  /** Resolves with the next message of this kind; start to wait before what causes it. */
  const next = (method, withinMs = 30_000) => {
    const { promise, resolve, reject } = withResolvers();
    const listen = (message) => message.sessionId === sessionId && message.method === method && resolve(message.params);
    const timer = setTimeout(() => reject(new Error(`${method} did not happen in ${withinMs} ms`)), withinMs);
    listeners.add(listen);
    return promise.finally(() => {
      clearTimeout(timer);
      listeners.delete(listen);
    });
  };

  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };

  /** Until the expression holds, in whatever page is there by then. */
  const until = async (expression, withinMs = 30_000) => {
    const end = Date.now() + withinMs;
    // Asked of a page that is being replaced, it fails.
    while (!(await evaluate(expression).catch(() => false))) {
      if (Date.now() > end) throw new Error(`Not true in ${withinMs} ms: ${expression}`);
      await sleep(20);
    }
  };

  await send("Page.enable");
  await send("Performance.enable");

  return {
    evaluate,
    until,
    /** Resolves when the page has loaded, whatever made the tab go there. */
    async arrives(start) {
      const loaded = next("Page.loadEventFired", 60_000);
      await start();
      await loaded;
    },
    async goTo(url) {
      const loaded = next("Page.loadEventFired", 60_000);
      await send("Page.navigate", { url });
      await loaded;
    },
    async clickOn(selector) {
      const { x, y } = await evaluate(
        `(({ left, top, width, height }) => ({ x: left + width / 2, y: top + height / 2 }))(document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect())`,
      );
      const mouse = { x, y, button: "left", clickCount: 1 };
      await send("Input.dispatchMouseEvent", { type: "mousePressed", ...mouse });
      await send("Input.dispatchMouseEvent", { type: "mouseReleased", ...mouse });
    },
    /** The visitor looks at this tab now; the others of the window are hidden. */
    show: () => sendToBrowser("Target.activateTarget", { targetId }),
    close: () => sendToBrowser("Target.closeTarget", { targetId }),
    /** Its process ends without another turn. */
    async crash() {
      const crashed = next("Inspector.targetCrashed");
      await send("Inspector.enable");
      send("Page.crash").catch(() => {});
      await crashed;
    },
    clearStorage: (origin) => send("Storage.clearDataForOrigin", { origin, storageTypes: "all" }),
    slowDown: (rate) => send("Emulation.setCPUThrottlingRate", { rate }),
    /** Time of all tasks of the main thread so far, in milliseconds. */
    async taskMs() {
      const { metrics } = await send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "TaskDuration").value * 1000;
    },
  };
}
