import { limits, type BatchAnswer, type EventContext } from "@polder/protocol";

import type { ImportEvent } from "./plan-row.ts";

export interface PostAnswer {
  status: number;
  /** The header, where there is one. */
  retryAfter: string | undefined;
  text: string;
}

/** The import cannot go on. What it sent is safe; begun again it goes on where it was. */
export class ImportStoppedError extends Error {
  readonly code = "import_stopped";
}

export interface ImportSenderDeps {
  /** Sends the body to `/v1/import` of the collector, with the server key. Rejects when it is not known what became of it. */
  post: (body: string) => Promise<PostAnswer>;
  /** Rejects when the import is told to stop. */
  pause: (ms: number) => Promise<void>;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  context: EventContext;
  /** So that an import leaves room for visitors, who share the site's rate. */
  maxEventsPerSecond: number;
  /** How long a collector may be away before the import ends. */
  giveUpAfterMs?: number;
}

export interface SendRefusal {
  index: number;
  reason: string;
  detail: string;
}
export interface SendOutcome {
  accepted: number;
  refused: SendRefusal[];
}

export type ImportSend = (events: readonly ImportEvent[]) => Promise<SendOutcome>;

// Compact JSON, with room for what stands around it.
const maxBatchBytes = limits.maxRequestBytes - 4 * 1024 - limits.maxEventBytes;
const firstPauseMs = 500;
const longestPauseMs = 15_000;

/** Sends what the collector may take or not: until it says which, the same events are sent again under the same ids. Rejects with an {@link ImportStoppedError}. */
export function createImportSender(deps: ImportSenderDeps): ImportSend {
  const { post, pause, clock, context, maxEventsPerSecond, giveUpAfterMs = 600_000 } = deps;
  let nextAt = 0;

  /** The answer to a request, or that it holds too much. */
  async function request(events: readonly string[]): Promise<BatchAnswer | "too_large"> {
    const body = `{"context":${JSON.stringify(context)},"batch":[${events.join(",")}]}`;
    const beganAt = clock();
    for (let waitMs = firstPauseMs; ; waitMs = Math.min(waitMs * 2, longestPauseMs)) {
      const answer = await post(body).catch((error: unknown) =>
        error instanceof Error ? error : new Error(String(error)),
      );
      if (!(answer instanceof Error)) {
        const { status, text } = answer;
        if (status === 200 || status === 202) return readAnswer(text);
        if (status === 413) return "too_large";
        if (status !== 429 && status < 500)
          throw new ImportStoppedError(`The collector refuses the import (${status}): ${messageIn(text)}`);
      }
      const askedMs = answer instanceof Error ? undefined : retryAfterMs(answer.retryAfter);
      const nextWaitMs = Math.max(askedMs ?? 0, waitMs);
      if (clock() + nextWaitMs - beganAt > giveUpAfterMs)
        throw new ImportStoppedError(
          `The collector has not taken events for ${Math.round(giveUpAfterMs / 60_000)} minutes (${answer instanceof Error ? answer.message : answer.status}): run the import again once it does. What it has taken is not sent twice.`,
        );
      await pause(nextWaitMs);
    }
  }

  async function sendSome(texts: readonly string[], from: number): Promise<SendOutcome> {
    const answer = await request(texts);
    if (answer !== "too_large")
      return {
        accepted: answer.accepted,
        refused: answer.rejected.map(({ index, reason, detail }) => ({ index: from + index, reason, detail })),
      };
    if (texts.length === 1)
      return {
        accepted: 0,
        refused: [{ index: from, reason: "event_too_large", detail: "The row holds more than an event may." }],
      };
    const half = texts.length >> 1;
    return joined(await sendSome(texts.slice(0, half), from), await sendSome(texts.slice(half), from + half));
  }

  return async (events) => {
    let outcome: SendOutcome = { accepted: 0, refused: [] };
    for (let at = 0; at < events.length;) {
      const texts: string[] = [];
      let bytes = 0;
      while (at + texts.length < events.length && texts.length < limits.maxEventsPerRequest) {
        const text = JSON.stringify(events[at + texts.length]);
        const size = Buffer.byteLength(text) + 1;
        if (texts.length > 0 && bytes + size > maxBatchBytes) break;
        texts.push(text);
        bytes += size;
      }
      const waitMs = nextAt - clock();
      if (waitMs > 0) await pause(waitMs);
      nextAt = Math.max(clock(), nextAt) + (texts.length / maxEventsPerSecond) * 1000;
      outcome = joined(outcome, await sendSome(texts, at));
      at += texts.length;
    }
    return outcome;
  };
}

const joined = (one: SendOutcome, other: SendOutcome): SendOutcome => ({
  accepted: one.accepted + other.accepted,
  refused: [...one.refused, ...other.refused],
});

function readAnswer(text: string): BatchAnswer {
  try {
    const { accepted, rejected } = JSON.parse(text) as Partial<BatchAnswer>;
    if (typeof accepted === "number" && Array.isArray(rejected)) return { accepted, rejected };
  } catch {
    // Told below.
  }
  throw new ImportStoppedError("What answers there is no collector: its answer to a batch cannot be read.");
}

function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === "string") return message;
  } catch {
    // A proxy's page.
  }
  return "its answer is no message of a collector";
}

function retryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,5}$/.test(header) ? Number(header) * 1000 : undefined;
}
