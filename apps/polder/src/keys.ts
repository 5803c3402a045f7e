import { createHash, randomBytes } from "node:crypto";

/** Public: 128 random bits. */
export const newWriteKey = (): string => `pk_${randomBytes(16).toString("base64url")}`;
/** Secret: 256 random bits, which is why one round of SHA-256 is enough to store it. */
export const newServerKey = (): string => `sk_${randomBytes(32).toString("base64url")}`;
export const hashOfKey = (key: string): string => createHash("sha256").update(key).digest("hex");
