import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { patienceMs } from "./patience.ts";
import { eventually, freePorts } from "./stack.ts";

/** Just enough of another browser to tell a story with: W3C WebDriver, as Firefox and WebKit speak it. */
export interface Engine {
  /** Resolves when the page has loaded. */
  open(url: string): Promise<void>;
  /** Runs in the page; a promise that it returns is waited for. */
  run<T>(work: () => T | Promise<T>): Promise<T>;
  /** As a visitor does. */
  click(selector: string): Promise<void>;
  close(): Promise<void>;
}

/** A command by its path in the standard, and what it gives back. */
type Command = (path: string, body: object) => Promise<unknown>;

/** Engines by name, each with what is missing for it, or "". */
export const engines: { [name: string]: { missing: string; start: () => Promise<Engine> } } = {
  Firefox: {
    missing: find("firefox-esr", "firefox") ? "" : "Firefox is not installed (Debian: firefox-esr)",
    start: startFirefox,
  },
  WebKit: {
    missing: !find("WebKitWebDriver")
      ? "WebKitWebDriver is not installed (Debian: webkit2gtk-driver)"
      : !process.env.DISPLAY && !find("Xvfb")
        ? "WebKit has no display (Debian: xvfb)"
        : "",
    start: startWebKit,
  },
};

function find(...names: string[]): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

const elementKey = "element-6066-11e4-a52e-4f735466cecf";

/** What the two dialects share. */
const speak = (command: Command, end: () => Promise<void>): Engine => ({
  open: async (url) => void (await command("/url", { url })),
  async run<T>(work: () => T | Promise<T>) {
    const script = `const done = arguments[0];
      (async () => (${String(work)})())().then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value, error } = (await command("/execute/async", { script, args: [] })) as { value: T; error?: string };
    if (error !== undefined) throw new Error(error);
    return value;
  },
  async click(selector) {
    const found = (await command("/element", { using: "css selector", value: selector })) as { [key: string]: string };
    await command(`/element/${found[elementKey]}/click`, {});
  },
  close: end,
});

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
};

/** Resolves with what the pattern finds in the output; rejects when the process ends before. */
async function says(child: ChildProcess, pattern: RegExp): Promise<string> {
  let output = "";
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        const found = pattern.exec(output)?.[1];
        if (found !== undefined) resolve(found);
      });
    }
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`${child.spawnfile} ended by itself:\n${output}`)));
  });
}

// Firefox has the protocol built in as Marionette: the same commands as messages over a socket.
async function startFirefox(): Promise<Engine> {
  const profile = mkdtempSync(join(tmpdir(), "polder-firefox-"));
  writeFileSync(
    join(profile, "user.js"),
    ['"marionette.port", 0', '"datareporting.policy.dataSubmissionEnabled", false', '"app.update.enabled", false']
      .map((pref) => `user_pref(${pref});\n`)
      .join(""),
  );
  const child = spawn(find("firefox-esr", "firefox")!, ["--headless", "--marionette", "--profile", profile], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const port = Number(await says(child, /Listening on port (\d+)/));
  const socket = connect(port, "127.0.0.1");
  const send = marionette(socket);
  await send("WebDriver:NewSession", { pageLoadStrategy: "normal" });
  await send("WebDriver:SetTimeouts", { script: patienceMs });
  const names: { [path: string]: string } = {
    "/url": "WebDriver:Navigate",
    "/execute/async": "WebDriver:ExecuteAsyncScript",
    "/element": "WebDriver:FindElement",
  };
  return speak(
    async (path, body) => {
      const [, id] = /^\/element\/(.+)\/click$/.exec(path) ?? [];
      const answer = id ? await send("WebDriver:ElementClick", { id }) : await send(names[path]!, body);
      return (answer as { value: unknown } | null)?.value;
    },
    async () => {
      socket.destroy();
      await end(child);
      // Its other processes write there until they have noticed.
      rmSync(profile, { recursive: true, force: true, maxRetries: 50 });
    },
  );
}

/** Messages are `length:[kind, id, name or error, content]`. */
function marionette(socket: Socket): (name: string, parameters: object) => Promise<unknown> {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let received = Buffer.alloc(0);
  let last = 0;
  // Who waits for an answer when the browser goes hears of it.
  const fail = (error: Error): void => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  socket.on("error", fail).on("close", () => fail(new Error("the browser closed the connection")));
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    for (;;) {
      const colon = received.indexOf(":");
      const length = Number(received.subarray(0, Math.max(colon, 0)).toString());
      if (colon < 0 || received.length < colon + 1 + length) return;
      const text = received.subarray(colon + 1, colon + 1 + length).toString();
      received = received.subarray(colon + 1 + length);
      const message = JSON.parse(text) as [number, number, { message: string } | null, unknown];
      // The first message is a greeting.
      if (!Array.isArray(message)) continue;
      const [, id, error, result] = message;
      const { resolve, reject } = waiting.get(id)!;
      waiting.delete(id);
      if (error) reject(new Error(error.message));
      else resolve(result);
    }
  });
  return (name, parameters) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      const text = JSON.stringify([0, last, name, parameters]);
      socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
}

async function startWebKit(): Promise<Engine> {
  const env = { ...process.env };
  let display: ChildProcess | undefined;
  if (!env.DISPLAY) {
    display = spawn(find("Xvfb")!, ["-displayfd", "1", "-screen", "0", "1280x800x24"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    env.DISPLAY = `:${await says(display, /^(\d+)\n/m)}`;
  }
  const [port] = (await freePorts(1)) as [number];
  const driver = spawn(find("WebKitWebDriver")!, [`--port=${port}`], { env, stdio: "ignore" });
  const stop = async (): Promise<void> => {
    await end(driver);
    if (display) await end(display);
  };
  const ask = async (method: string, path: string, body?: object): Promise<unknown> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const { value } = (await answer.json()) as { value: unknown };
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(value)}`);
    return value;
  };
  try {
    // A driver does not say when it is there.
    await eventually(
      () => listens(port),
      (isThere) => isThere,
    );
    const { sessionId } = (await ask("POST", "/session", { capabilities: {} })) as { sessionId: string };
    await ask("POST", `/session/${sessionId}/timeouts`, { script: patienceMs });
    return speak(
      (path, body) => ask("POST", `/session/${sessionId}${path}`, body),
      async () => {
        await ask("DELETE", `/session/${sessionId}`);
        await stop();
      },
    );
  } catch (error) {
    await stop();
    throw error;
  }
}

function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  }).finally(() => socket.destroy());
}
