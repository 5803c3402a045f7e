import { createServer, request, type Server } from "node:http";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, messageOf } from "./cli/exit-code.ts";

/** The socket by which commands reach the process that has the data folder. Only who may enter the folder can. */
const controlPath = (dataPath: string): string => join(dataPath, "polder.sock");

/** What the system takes as the path of a socket. */
const maxPathBytes = 103;
const maxRequestBytes = 64 * 1024;

/** A word to be shown while the work goes on, or its end. */
type Line = { note: string } | { done: unknown } | { failed: string };

export type ControlHandler = (request: unknown, say: (note: string) => void) => Promise<unknown>;

export interface Control {
  close(): Promise<void>;
}

/** Answers commands until it is closed. Rejects with a sentence when the path is too long for a socket. */
export async function serveControl(
  dataPath: string,
  handlers: { readonly [command: string]: ControlHandler },
): Promise<Control> {
  const path = controlPath(dataPath);
  if (Buffer.byteLength(path) > maxPathBytes)
    throw new Error(`${path} is too long for a socket (${maxPathBytes} bytes): commands such as backup ask for a stop`);
  // Left behind by a process that was killed: the folder is ours alone by now.
  await rm(path, { force: true });
  const underWay = new Set<Promise<void>>();
  const server: Server = createServer((asked, answer) => {
    const handler = handlers[(asked.url ?? "").slice(1)];
    if (asked.method !== "POST" || handler === undefined) return void answer.writeHead(404).end();
    const write = (line: Line): void => void answer.write(`${JSON.stringify(line)}\n`);
    const work = readJson(asked)
      .then((given) => handler(given, (note) => write({ note })))
      .then(
        (done) => write({ done: done ?? null }),
        (error: unknown) => write({ failed: messageOf(error) }),
      )
      .then(() => void answer.end());
    underWay.add(work);
    void work.finally(() => underWay.delete(work));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return {
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await Promise.all(underWay);
      server.closeAllConnections();
      await closed;
      await rm(path, { force: true });
    },
  };
}

async function readJson(stream: AsyncIterable<unknown>): Promise<unknown> {
  let text = "";
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.length > maxRequestBytes) throw new Error("The request is too long.");
  }
  return JSON.parse(text);
}

/**
 * Has a command carried out by the process that has the data folder. Resolves with its answer.
 * @throws {CommandError} with the reason when it failed, or when the process does not answer.
 */
export function askControl(
  dataPath: string,
  command: string,
  given: object,
  say: (note: string) => void,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const lost = (reason: string): void =>
      reject(
        new CommandError(
          `The Polder that runs on ${dataPath} did not carry out ${command} (${reason}). Look into polder.log in that folder, or stop it and try again.`,
        ),
      );
    const asked = request({ socketPath: controlPath(dataPath), path: `/${command}`, method: "POST" }, (answer) => {
      let rest = "";
      let isAnswered = false;
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const text of lines) {
          const line = JSON.parse(text) as Line;
          if ("note" in line) say(line.note);
          else if ("done" in line) {
            isAnswered = true;
            resolve(line.done);
          } else {
            isAnswered = true;
            reject(new CommandError(line.failed));
          }
        }
      });
      answer.on("close", () => isAnswered || lost(`it ended in the middle, status ${answer.statusCode}`));
    });
    asked.on("error", (error) => lost(error.message));
    asked.end(JSON.stringify(given));
  });
}
