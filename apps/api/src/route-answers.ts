import type { Context } from "hono";
import { resolver } from "hono-openapi";
import type * as v from "valibot";
import { answerError } from "./errors.ts";
import { errorAnswer } from "./schemas.ts";

/** Of every answer with personal data: in no cache. */
export const private_ = { "cache-control": "no-store" };

/** For the OpenAPI document: an answer of this form. */
export const answers = (description: string, schema: v.GenericSchema) => ({
  description,
  content: { "application/json": { schema: resolver(schema) } },
});

/** For the OpenAPI document: the errors that a route may answer. */
export const failures = (...statuses: (keyof typeof failureDescriptions)[]) =>
  Object.fromEntries(statuses.map((status) => [status, answers(failureDescriptions[status], errorAnswer)]));

const failureDescriptions = {
  400: "A parameter is not of its form",
  401: "The token is missing or wrong",
  404: "No such site, or nothing of that name",
  409: "Something changed meanwhile: ask again",
  415: "The body is not application/json",
  503: "ClickHouse does not answer",
};

/** The hook of a validator: what is not of its form is answered with 400 and what was wrong, each thing once. */
export function refuseForm(
  result: { success: boolean; error?: readonly Fault[] },
  context: Context,
): Response | undefined {
  if (result.success) return undefined;
  return answerError(context, "invalid_request", [...new Set(result.error?.map(faultText))].join("; "));
}

interface Fault {
  message: string;
  path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Our own words say what they are about; those of the validator do not. */
function faultText({ message, path = [] }: Fault): string {
  if (path.length === 0 || !message.startsWith("Invalid ")) return message;
  const place = path.map((step) => String(typeof step === "object" ? step.key : step)).join(".");
  if (!message.startsWith("Invalid key")) return `${place}: ${message}`;
  return message.endsWith("received undefined") ? `${place} is missing` : `${place} is not known here`;
}
