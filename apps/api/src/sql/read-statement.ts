import type { IncomingMessage } from "node:http";
import type { Readable, Transform } from "node:stream";
import * as zlib from "node:zlib";
import { badRequest, type Refusal } from "./refusal.ts";

export type StatementResult = { ok: true; statement: Buffer } | { ok: false; refusal: Refusal };

/**
 * The one text that is judged and then run: the `query` parameters, a line feed, and the inflated body, as the engine itself would join them.
 * Stops reading at the limit, also while inflating.
 */
export async function readStatement(
  request: IncomingMessage,
  query: Buffer,
  limits: { maxStatementBytes: number },
): Promise<StatementResult> {
  const contentType = request.headers["content-type"] ?? "";
  if (/^\s*multipart\//i.test(contentType)) {
    return refuse(
      badRequest(
        "External data (multipart bodies) is not taken: put the values into the statement, or pass them as param_<name>",
        415,
      ),
    );
  }
  const inflate = openDecoder(request.headers["content-encoding"]);
  if (inflate === undefined) {
    return refuse(
      badRequest(
        `A statement may be sent as it is or as ${supported.join(", ")}, not as what Content-Encoding says`,
        415,
      ),
    );
  }
  const body = await collect(request, inflate, limits.maxStatementBytes);
  if (body === "too_large") return refuse(tooLarge(limits.maxStatementBytes));
  if (body === "broken") return refuse(badRequest("The body is not what its Content-Encoding says"));
  const parts = query.length > 0 && body.length > 0 ? [query, Buffer.from("\n"), body] : [query, body];
  const statement = Buffer.concat(parts);
  return statement.length > limits.maxStatementBytes
    ? refuse(tooLarge(limits.maxStatementBytes))
    : { ok: true, statement };
}

const refuse = (refusal: Refusal): StatementResult => ({ ok: false, refusal });

const tooLarge = (bytes: number): Refusal => badRequest(`The statement is longer than ${bytes} bytes`, 413);

// Node 20 has no zstd; where it has, it is taken.
const createZstd = (zlib as { createZstdDecompress?: () => Transform }).createZstdDecompress;
const supported = ["gzip", "deflate", "br", ...(createZstd === undefined ? [] : ["zstd"])];

/** Undefined: not one we can read. Null: nothing to inflate. */
function openDecoder(encoding: string | undefined): Transform | null | undefined {
  switch (encoding?.trim().toLowerCase()) {
    case undefined:
    case "":
    case "identity":
      return null;
    case "gzip":
      return zlib.createGunzip();
    case "deflate":
      return zlib.createInflate();
    case "br":
      return zlib.createBrotliDecompress();
    case "zstd":
      return createZstd?.();
    default:
      return undefined;
  }
}

async function collect(
  request: IncomingMessage,
  inflate: Transform | null,
  maxBytes: number,
): Promise<Buffer | "too_large" | "broken"> {
  const chunks: Buffer[] = [];
  let size = 0;
  let source: Readable = request;
  if (inflate !== null) {
    request.once("error", (error) => inflate.destroy(error));
    source = request.pipe(inflate);
  }
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) return "too_large";
      chunks.push(chunk);
    }
  } catch (error) {
    if (request.errored === null) return "broken"; // the decoder's fault, so the sender's
    throw error;
  }
  return Buffer.concat(chunks);
}
