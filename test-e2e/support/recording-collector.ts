import { readFile } from "node:fs/promises";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { serve, type Listening } from "./listen.ts";
import { patienceMs } from "./patience.ts";

const sdk = new URL("../../packages/sdk-browser/dist/", import.meta.url);
const pages = new URL("../pages/", import.meta.url);

/** An event as the collector would see it: with what its batch shares merged in. */
export interface SeenEvent {
  type: string;
  messageId: string;
  timestamp: string;
  event?: string;
  anonymousId?: string;
  userId?: string;
  properties?: { [name: string]: unknown };
  traits?: { [name: string]: unknown };
  context: {
    page: { url: string; path: string; title: string; referrer: string };
    consent: {
      id: string;
      purposes: { [purpose: string]: string };
      regime?: string;
      gpc?: boolean;
      notice?: { version: string };
      texts?: { [purpose: string]: string };
    };
    session?: { id: string; start: number; seq: number };
    origin?: string;
  };
}

export interface SeenRequest {
  at: number;
  status: number;
  contentType: string;
  headers: IncomingHttpHeaders;
  body: {
    writeKey: string;
    sentAt: string;
    receipt: { queued: number; sent: number; retried: number; dropped: { [reason: string]: number } };
  };
  events: SeenEvent[];
}

/**
 * `cut`: the connection is reset, as by a collector that is away. `silence`: nothing, for as long as the sender waits. `retryAfter` is a number of seconds or a date; `body` is what somebody
 * else would say in the collector's place.
 */
export type Answer =
  | { status: number; retryAfterSeconds?: number; retryAfter?: string; body?: string }
  | "cut"
  | "silence";

export interface RecordingCollector {
  origin: string;
  /** Everything that reached it, refused or not, in order. */
  requests: SeenRequest[];
  /** Of the requests that were answered 2xx, copies included. */
  received(): SeenEvent[];
  /**
   * The same with each message id once, as Polder stores it: a page that is left before it has heard an answer rightly sends a copy. Who may not send
   * any is judged by {@link received}.
   */
  accepted(): SeenEvent[];
  /** What it answers from now on; 200 to begin with. */
  answer(answer: (request: SeenRequest) => Answer): void;
  /** Headers of the questions about the regime, in order. */
  regimeQuestions: IncomingHttpHeaders[];
  /** What it answers to those from now on, as soon as that is known: a regime, another body, or nothing (`cut`). `opt_in` to begin with. */
  answerRegime(regime: string | Promise<string>): void;
  /** Waits until the condition holds, looking again after every request; says what it has seen when that takes too long. */
  until(condition: () => boolean): Promise<void>;
  close(): Promise<void>;
}

/** Serves `polder.js` and keeps what is sent to it: what a collector would see, without one. */
export async function startCollector(): Promise<RecordingCollector> {
  const requests: SeenRequest[] = [];
  const waiting = new Set<() => void>();
  let decide: (request: SeenRequest) => Answer = () => ({ status: 200 });
  const regimeQuestions: IncomingHttpHeaders[] = [];
  let regime: string | Promise<string> = "opt_in";
  const look = (): void => waiting.forEach((each) => each());

  const answerQuestion = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    regimeQuestions.push(request.headers);
    look();
    const said = await regime;
    if (said === "cut") return void request.socket.destroy();
    response.writeHead(200, {
      "content-type": "application/json",
      "access-control-allow-origin": request.headers.origin ?? "*",
      // Not kept, or a test could not change its mind.
      "cache-control": "no-store",
    });
    response.end(/^\w+$/.test(said) ? JSON.stringify({ regime: said }) : said);
  };

  const takeBatch = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as SeenRequest["body"] & {
      context?: object;
      batch: SeenEvent[];
    };
    const seen: SeenRequest = {
      at: Date.now(),
      status: 0,
      contentType: request.headers["content-type"] ?? "",
      headers: request.headers,
      body,
      events: body.batch.map((event) => ({ ...event, context: { ...body.context, ...event.context } })),
    };
    const answer = decide(seen);
    if (typeof answer === "object") seen.status = answer.status;
    requests.push(seen);
    if (answer === "cut") request.socket.destroy();
    else if (answer !== "silence") {
      const retryAfter = answer.retryAfter ?? answer.retryAfterSeconds;
      response.writeHead(answer.status, {
        "content-type": "application/json",
        "access-control-allow-origin": request.headers.origin ?? "*",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "Retry-After",
        ...(retryAfter !== undefined && { "retry-after": String(retryAfter) }),
      });
      response.end(answer.body ?? '{"accepted":1,"rejected":[]}');
    }
    look();
  };

  const received = (): SeenEvent[] =>
    requests.filter(({ status }) => status >= 200 && status < 300).flatMap(({ events }) => events);

  const { origin, close } = await serve((request, response) => {
    if (request.method === "POST") return takeBatch(request, response);
    if (request.url === "/v1/regime?writeKey=pk_test") return answerQuestion(request, response);
    return serveFile(new URL(`.${request.url}`, sdk), "text/javascript", response);
  });
  return {
    origin,
    requests,
    received,
    accepted: () => {
      const ids = new Set<string>();
      return received().filter(({ messageId }) => !ids.has(messageId) && ids.add(messageId));
    },
    answer: (answer) => {
      decide = answer;
    },
    until: (condition) =>
      new Promise((resolve, reject) => {
        const end = (): void => {
          waiting.delete(check);
          clearTimeout(late);
        };
        const check = (): void => {
          if (!condition()) return;
          end();
          resolve();
        };
        const late = setTimeout(() => {
          end();
          const seen = requests.map(({ status, events }) => `${status}: ${events.map(nameOf).join(", ")}`);
          reject(new Error(`not so after ${patienceMs / 1000} s: ${String(condition)}\nseen:\n${seen.join("\n")}`));
        }, patienceMs);
        waiting.add(check);
        check();
      }),
    regimeQuestions,
    answerRegime: (said) => {
      regime = said;
    },
    close,
  };
}

const nameOf = ({ type, event }: SeenEvent): string => event ?? type;

/** Going to its other origin leaves the first one. */
export interface Site extends Listening {
  /** Attributes of the tag of `polder.js`, beside the write key. */
  tag: string;
}

/** Serves the pages of `test-e2e/pages`, with the tag of `polder.js` where they say `{{polder}}`. */
export async function startSite(collectorOrigin: string): Promise<Site> {
  const server = await serve(async (request, response) => {
    const path = new URL(request.url ?? "/", "http://site").pathname;
    const name = path.endsWith(".html") ? path.slice(1) : "shop.html";
    await serveFile(new URL(name, pages), "text/html; charset=utf-8", response, (html) =>
      html.replace(
        "{{polder}}",
        `<script async src="${collectorOrigin}/polder.js" data-site="pk_test" ${site.tag}></script>`,
      ),
    );
  });
  const site: Site = { ...server, tag: "" };
  return site;
}

async function serveFile(
  file: URL,
  type: string,
  response: ServerResponse,
  change: (text: string) => string = (text) => text,
): Promise<void> {
  try {
    const text = await readFile(file, "utf8");
    response.writeHead(200, { "content-type": type, "access-control-allow-origin": "*" }).end(change(text));
  } catch {
    response.writeHead(404).end();
  }
}
