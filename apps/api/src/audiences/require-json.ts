import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { answerError } from "../errors.ts";

/** A page of somebody else can send other types without being asked whether it may. */
export const requireJson: MiddlewareHandler = async (context, next) => {
  const type = context.req.header("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") return answerError(context, "json_required");
  return next();
};

export const limitBody: MiddlewareHandler = bodyLimit({
  maxSize: 256 * 1024,
  onError: (context) => answerError(context, "invalid_request", "The body is larger than 256 KiB"),
});
