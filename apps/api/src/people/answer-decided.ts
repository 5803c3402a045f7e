import type { Decided, IdentityDesk } from "@polder/core";
import type { Context } from "hono";
import { answerError } from "../errors.ts";
import { private_ } from "../route-answers.ts";

export interface DecidedAnswerOptions {
  desk: Pick<IdentityDesk, "isSettled">;
  /** How long an answer waits for the worker, in milliseconds; then it is 202. */
  waitMs?: number;
  /** Resolves after so many milliseconds. */
  pause: (ms: number) => Promise<void>;
  /** Milliseconds of a clock that only goes forward. */
  elapsedMs?: () => number;
}

const askEveryMs = 50;

/** Answers with a decision when every count follows it, or when that takes too long. */
export function createDecidedAnswer({
  desk,
  waitMs = 5_000,
  pause,
  elapsedMs = () => performance.now(),
}: DecidedAnswerOptions): (context: Context, decided: Decided) => Promise<Response> {
  return async (context, decided) => {
    if (!decided.ok) return answerError(context, decided.fault);
    const { id } = decided.decision;
    const start = elapsedMs();
    let isSettled = await desk.isSettled(id);
    // What is asked takes its time too, on a store that is slow more than the pauses do.
    while (!isSettled && elapsedMs() - start < waitMs) {
      await pause(askEveryMs);
      isSettled = await desk.isSettled(id);
    }
    return context.json({ decision: id, isSettled }, isSettled ? 200 : 202, private_);
  };
}
