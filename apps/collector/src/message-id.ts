import { randomBytes } from "node:crypto";

/** 128 random bits in 22 characters. */
export const createMessageId = (): string => randomBytes(16).toString("base64url");
