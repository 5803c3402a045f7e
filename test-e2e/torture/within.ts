import { setTimeout as pause } from "node:timers/promises";

const lookMs = 100;

/** Asks until the answer satisfies; after so long gives back the last answer, whatever it is. Rejects when there never was one. */
export async function within<T>(ms: number, ask: () => Promise<T>, isEnough: (answer: T) => boolean): Promise<T> {
  const until = performance.now() + ms;
  for (;;) {
    const isLast = performance.now() >= until;
    try {
      const answer = await ask();
      if (isLast || isEnough(answer)) return answer;
    } catch (error) {
      if (isLast) throw error;
    }
    await pause(lookMs); // between two questions, not a wait for a result
  }
}
