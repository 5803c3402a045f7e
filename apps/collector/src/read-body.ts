import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, type InputType, type ZlibOptions } from "node:zlib";
import type { RequestHead } from "./request-head.ts";

export type BodyResult =
  | { ok: true; text: string }
  | { ok: false; code: "request_too_large" | "unsupported_encoding" | "broken_encoding"; message: string };

type Inflate = (bytes: InputType, options: ZlibOptions) => Promise<Buffer>;
const encodings: { readonly [name: string]: Inflate } = {
  gzip: promisify<InputType, ZlibOptions, Buffer>(gunzip),
  "x-gzip": promisify<InputType, ZlibOptions, Buffer>(gunzip),
  deflate: promisify<InputType, ZlibOptions, Buffer>(inflate),
  br: promisify<InputType, ZlibOptions, Buffer>(brotliDecompress),
};

/**
 * The text of a request's body. The limit holds for what is received and for what it inflates to, while it does: no more than that is
 * ever held. Rejects when the client goes away.
 */
export async function readBody(request: Request, { header }: RequestHead, maxBytes: number): Promise<BodyResult> {
  const length = header("content-length");
  if (length !== undefined && Number(length) > maxBytes) return tooLarge(maxBytes);

  const encoding = header("content-encoding")?.trim().toLowerCase() ?? "";
  if (encoding === "" || encoding === "identity") {
    // The HTTP parser holds the client to the length it gave.
    if (length !== undefined) return { ok: true, text: await request.text() };
    const bytes = await readStream(request, maxBytes);
    return bytes === undefined ? tooLarge(maxBytes) : { ok: true, text: new TextDecoder().decode(bytes) };
  }

  if (!Object.hasOwn(encodings, encoding))
    return {
      ok: false,
      code: "unsupported_encoding",
      message: `Content-Encoding must be one of ${Object.keys(encodings).join(", ")}, once, or absent.`,
    };
  const bytes = await readStream(request, maxBytes);
  if (bytes === undefined) return tooLarge(maxBytes);
  try {
    const inflated = await encodings[encoding]!(bytes, { maxOutputLength: maxBytes });
    return { ok: true, text: new TextDecoder().decode(inflated) };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") return tooLarge(maxBytes);
    return {
      ok: false,
      code: "broken_encoding",
      message: `The body is not what its Content-Encoding (${encoding}) says.`,
    };
  }
}

const tooLarge = (maxBytes: number): BodyResult => ({
  ok: false,
  code: "request_too_large",
  message: `A request holds at most ${maxBytes} bytes, inflated: send smaller batches.`,
});

/** Undefined when there is more than `maxBytes`. */
async function readStream(request: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop cancels the stream.
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
