import { createHash, timingSafeEqual } from "node:crypto";

/** Hashed first, so that the time taken tells nothing about the length either. */
export function equalInConstantTime(given: string, expected: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(expected));
}
