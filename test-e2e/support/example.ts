import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serve } from "./listen.ts";

const folderOf = (name: string): URL => new URL(`../../examples/${name}/`, import.meta.url);

/** Installs and builds the examples as their readers would. @returns why they cannot be run, or "". Rejects when a build fails. */
export async function buildExamples(): Promise<string> {
  const script = fileURLToPath(new URL("../../scripts/build-examples.mjs", import.meta.url));
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script]);
    process.stdout.write(stdout);
    return "";
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    if (code === 3) return stderr.trim();
    throw new Error(`the examples could not be built:\n${stdout}${stderr}`, { cause: error });
  }
}

export interface Example {
  origin: string;
  close(): Promise<void>;
}

/** As it is deployed: Next by its own server, the others as files. */
export const startExample = (name: string): Promise<Example> =>
  name === "next"
    ? startNext()
    : serveFolder(name === "tag-manager" ? folderOf(name) : new URL("dist/", folderOf(name)));

async function startNext(): Promise<Example> {
  const cwd = fileURLToPath(folderOf("next"));
  const server = spawn(process.execPath, ["node_modules/next/dist/bin/next", "start", "-p", "0", "-H", "127.0.0.1"], {
    cwd,
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  // Read for as long as it runs: it would end if nobody took what it says.
  const ready = new Promise<string>((resolve) => {
    server.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      const origin = /Local:\s+(\S+)[\s\S]*Ready/.exec(output)?.[1];
      if (origin !== undefined) resolve(origin);
    });
  });
  const gone = once(server, "exit");
  const ended = gone.then(() => {
    throw new Error(`next start ended by itself:\n${output}`);
  });
  const origin = await Promise.race([ready, ended]);
  ended.catch(() => {});
  return {
    origin,
    async close() {
      server.kill();
      await gone;
    },
  };
}

const types: { [extension: string]: string } = { ".js": "text/javascript", ".css": "text/css" };

async function serveFolder(folder: URL): Promise<Example> {
  return serve(async (request, response) => {
    const { pathname } = new URL(request.url!, "http://example");
    const extension = extname(pathname);
    // Routes of a single-page app are all the same file.
    const file = new URL(extension ? `.${pathname}` : "index.html", folder);
    const bytes = await readFile(file).catch(() => undefined);
    if (bytes === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": types[extension] ?? "text/html; charset=utf-8" }).end(bytes);
  });
}
