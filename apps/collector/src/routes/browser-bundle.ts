import { createHash } from "node:crypto";
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { Hono } from "hono";
import { sriOf, type BrowserBundle } from "../browser-bundle.ts";

const hourSeconds = 3600;

/** `/polder.js` and the other scripts for pages, each with its source map, and its hash for `integrity` attributes. */
export function addBundleRoutes(app: Hono, bundle: BrowserBundle): void {
  // Readable from any page, or `integrity` with `crossorigin` could not check it.
  const common = {
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "timing-allow-origin": "*",
    "x-content-type-options": "nosniff",
  };
  const served = (path: string, bytes: Uint8Array, more: { [header: string]: string }): void => {
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    const encoded = { br: brotliCompressSync(bytes), gzip: gzipSync(bytes, { level: 9 }) };
    app.get(path, (c) => {
      const headers: { [name: string]: string } = {
        ...common,
        ...more,
        "cache-control": `public, max-age=${hourSeconds}, stale-while-revalidate=${24 * hourSeconds}`,
        etag,
        vary: "Accept-Encoding",
      };
      const known = c.req.header("if-none-match");
      if (known !== undefined && known.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag))
        return new Response(null, { status: 304, headers });
      const accepted = c.req.header("accept-encoding") ?? "";
      const encoding = /\bbr\b/.test(accepted) ? "br" : /\bgzip\b/.test(accepted) ? "gzip" : undefined;
      if (encoding === undefined) return new Response(copyOf(bytes), { headers });
      return new Response(copyOf(encoded[encoding]), { headers: { ...headers, "content-encoding": encoding } });
    });
  };
  for (const { name, script, sourceMap } of bundle) {
    // In a header: a comment in the script would be bytes for every visitor. Beside it, also below a folder.
    const named = sourceMap === undefined ? {} : { sourcemap: `${name}.map` };
    served(`/${name}`, script, { "content-type": "text/javascript; charset=utf-8", ...named });
    if (sourceMap !== undefined) served(`/${name}.map`, sourceMap, { "content-type": "application/json" });
    const integrity = sriOf(script);
    app.get(`/${name}.sri`, () =>
      Response.json({ integrity }, { headers: { ...common, "cache-control": "public, max-age=60" } }),
    );
  }
}

// `Response` takes bytes of an ArrayBuffer only, by its type.
const copyOf = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);
