import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Context } from "hono";
import { answerError } from "./errors.ts";
import type { PageConfig } from "./schemas.ts";

/** Built by `build.mjs`; the same place seen from `src` and from `dist`. */
const folder = new URL("../dist/page/", import.meta.url);

const types: { readonly [file: string]: string } = {
  "page.js": "text/javascript; charset=utf-8",
  "page.css": "text/css; charset=utf-8",
  "icon.svg": "image/svg+xml",
};

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const headers = {
  "content-security-policy": policy,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};

/** The live page: one document, one script, one style sheet, nothing from elsewhere. */
export function createPage(config: () => PageConfig) {
  return {
    async html(context: Context): Promise<Response> {
      const version = await readVersion();
      if (version === undefined) return answerError(context, "page_not_built");
      return context.html(render(config(), version), 200, { ...headers, "cache-control": "no-cache" });
    },
    async file(context: Context): Promise<Response> {
      const name = context.req.param("file") ?? "";
      const type = types[name];
      const bytes = type === undefined ? undefined : await read(name);
      if (type === undefined || bytes === undefined) return answerError(context, "not_found");
      const isVersioned = context.req.query("v") !== undefined;
      return context.body(new Uint8Array(bytes), 200, {
        ...headers,
        "content-type": type,
        "cache-control": isVersioned ? "public, max-age=31536000, immutable" : "no-cache",
      });
    },
  };
}

const read = (name: string): Promise<Buffer | undefined> =>
  readFile(fileURLToPath(new URL(name, folder))).catch(() => undefined);

async function readVersion(): Promise<string | undefined> {
  const [script, style] = await Promise.all([read("page.js"), read("page.css")]);
  if (script === undefined || style === undefined) return undefined;
  return createHash("sha256").update(script).update(style).digest("base64url").slice(0, 12);
}

const render = (config: PageConfig, version: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Polder · live</title>
<link rel="icon" href="/page/icon.svg?v=${version}" type="image/svg+xml">
<link rel="stylesheet" href="/page/page.css?v=${version}">
<script id="config" type="application/json">${JSON.stringify(config).replaceAll("<", "\\u003c")}</script>
<script type="module" src="/page/page.js?v=${version}"></script>
</head>
<body><div id="app"></div><noscript>The live page needs JavaScript. The same numbers: /v1/summary and /v1/audiences/today.</noscript></body>
</html>
`;
