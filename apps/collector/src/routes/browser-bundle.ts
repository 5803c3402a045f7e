import { createHash } from "node:crypto";
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { Hono } from "hono";
import { sriOf, type BrowserBundle } from "../browser-bundle.ts";

const hourSeconds = 3600;

/** `/polder.js`, its source map, and its hash for `integrity` attributes. */
export function addBundleRoutes(app: Hono, bundle: BrowserBundle): void {
  const sri = sriOf(bundle.script);
  // Readable from any page, or `integrity` with `crossorigin` could not check it.
  const common = {
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "timing-allow-origin": "*",
    "x-content-type-options": "nosniff",
  };
  const served = (path: string, bytes: Uint8Array, type: string): void => {
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    const encoded = { br: brotliCompressSync(bytes), gzip: gzipSync(bytes, { level: 9 }) };
    app.get(path, (c) => {
      const headers: { [name: string]: string } = {
        ...common,
        "content-type": type,
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
  served("/polder.js", bundle.script, "text/javascript; charset=utf-8");
  if (bundle.sourceMap !== undefined) served("/polder.js.map", bundle.sourceMap, "application/json");
  app.get("/polder.js.sri", () =>
    Response.json({ integrity: sri }, { headers: { ...common, "cache-control": "public, max-age=60" } }),
  );
}

// `Response` takes bytes of an ArrayBuffer only, by its type.
const copyOf = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);
