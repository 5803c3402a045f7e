import { createHmac } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { answerError } from "./errors.ts";
import { isLocalHostHeader } from "./local-host.ts";
import { equalInConstantTime } from "./equal-in-constant-time.ts";

const cookieName = "polder_api";

/** A browser cannot send a header with a page or an event stream: after the token was given once, a cookie that holds a code made from it does. */
const sessionCode = (token: string): string =>
  createHmac("sha256", token).update("polder api session").digest("base64url");

/** Who may read: everybody who reaches a port on the loopback by a local name, else whoever has the token. */
export function requireAccess(token: () => string | undefined): MiddlewareHandler {
  return async (context, next) => {
    const expected = token();
    if (expected === undefined) {
      return isLocalHostHeader(context.req.header("host")) ? next() : answerError(context, "host_refused");
    }
    const bearer = /^Bearer (.+)$/i.exec(context.req.header("authorization") ?? "")?.[1];
    if (bearer !== undefined && equalInConstantTime(bearer, expected)) return next();
    const cookie = getCookie(context, cookieName);
    if (cookie !== undefined && equalInConstantTime(cookie, sessionCode(expected))) return next();
    return answerError(context, "token_required");
  };
}

/** Sets the cookie when the token is right. */
export function openSession(context: Context, given: string, token: string | undefined): boolean {
  if (token === undefined) return true;
  if (!equalInConstantTime(given, token)) return false;
  const isSecure =
    new URL(context.req.url).protocol === "https:" || context.req.header("x-forwarded-proto") === "https";
  setCookie(context, cookieName, sessionCode(token), {
    httpOnly: true,
    sameSite: "Strict",
    secure: isSecure,
    path: "/",
    maxAge: 12 * 3_600,
  });
  return true;
}
