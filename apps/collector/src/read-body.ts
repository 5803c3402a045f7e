import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, type InputType, type ZlibOptions } from "node:zlib";
import type { RequestHead } from "./request-head.ts";

export type BodyResult =
  | { ok: true; text: string }
  | {
      ok: false;
      code: "request_too_large" | "unsupported_encoding" | "broken_encoding" | "overloaded";
      message: string;
    };

type Inflate = (bytes: InputType, options: ZlibOptions) => Promise<Buffer>;
const encodings: { readonly [name: string]: Inflate } = {
  gzip: promisify<InputType, ZlibOptions, Buffer>(gunzip),
  "x-gzip": promisify<InputType, ZlibOptions, Buffer>(gunzip),
  deflate: promisify<InputType, ZlibOptions, Buffer>(inflate),
  br: promisify<InputType, ZlibOptions, Buffer>(brotliDecompress),
};

const decoder = new TextDecoder();

/**
 * The text of a request's body. The limit holds for what is received and for what it inflates to, while it does: no more than that is ever held.
 * @param hold asked for each part before it is kept; false ends it with `overloaded`.
 */
export async function readBody(
  request: Request,
  { header, incoming }: RequestHead,
  maxBytes: number,
  hold: (bytes: number) => boolean = () => true,
): Promise<BodyResult> {
  const length = header("content-length");
  if (length !== undefined && Number(length) > maxBytes) return tooLarge(maxBytes);
  const encoding = header("content-encoding")?.trim().toLowerCase() ?? "";
  const isPlain = encoding === "" || encoding === "identity";
  if (!isPlain && !Object.hasOwn(encodings, encoding))
    return {
      ok: false,
      code: "unsupported_encoding",
      message: `Content-Encoding must be one of ${Object.keys(encodings).join(", ")}, once, or absent.`,
    };

  const received =
    incoming === undefined ? await readStream(request, maxBytes, hold) : await readIncoming(incoming, maxBytes, hold);
  if (received === "too_large") return tooLarge(maxBytes);
  if (received === "overloaded") return overloaded;
  if (received === "cut_off")
    return { ok: false, code: "broken_encoding", message: "The request was cut off before its end." };
  if (isPlain) return { ok: true, text: decoder.decode(received) };
  try {
    const inflated = await encodings[encoding]!(received, { maxOutputLength: maxBytes });
    if (!hold(Math.max(0, inflated.length - received.length))) return overloaded;
    return { ok: true, text: decoder.decode(inflated) };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") return tooLarge(maxBytes);
    return {
      ok: false,
      code: "broken_encoding",
      message: `The body is not what its Content-Encoding (${encoding}) says.`,
    };
  }
}

const overloaded: BodyResult = {
  ok: false,
  code: "overloaded",
  message: "Too much is being received: keep it and send it again.",
};

const tooLarge = (maxBytes: number): BodyResult => ({
  ok: false,
  code: "request_too_large",
  message: `A request holds at most ${maxBytes} bytes, inflated: send smaller batches.`,
});

type Received = Buffer | "too_large" | "overloaded" | "cut_off";

/** Without the streams of the web around it, which would cost more than all of the parsing. */
function readIncoming(
  incoming: IncomingMessage,
  maxBytes: number,
  hold: (bytes: number) => boolean,
): Promise<Received> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (received: Received): void => {
      incoming.off("data", onData).off("end", onEnd).off("close", onClose);
      resolve(received);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > maxBytes) end("too_large");
      else if (!hold(chunk.length)) end("overloaded");
      else chunks.push(chunk);
    };
    const onEnd = (): void => end(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    const onClose = (): void => end("cut_off");
    incoming.on("data", onData).on("end", onEnd).on("close", onClose);
    // Said by "close" as well; without a listener it would end the process.
    incoming.on("error", () => {});
    if (incoming.destroyed) onClose();
  });
}

async function readStream(request: Request, maxBytes: number, hold: (bytes: number) => boolean): Promise<Received> {
  if (request.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop cancels the stream.
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) return "too_large";
    if (!hold(chunk.byteLength)) return "overloaded";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
