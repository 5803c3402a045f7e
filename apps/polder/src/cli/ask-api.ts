import type { Settings } from "../settings.ts";
import type { CommandContext } from "./command.ts";
import { codeOf, CommandError, messageOf } from "./exit-code.ts";

export const apiFlags = { api: { type: "string" } } as const;

/** Where the API is asked from outside: as given, else POLDER_API_URL, else the port of a running Polder on this machine. */
export function apiUrl({ host, ports }: Settings, given: string | undefined, env: CommandContext["env"]): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return (given ?? env["POLDER_API_URL"] ?? `http://${name}:${ports.api}`).replace(/\/+$/, "");
}

/** @throws {CommandError} when nothing answers, or the answer is a refusal: with its words. */
export async function askApi(
  url: string,
  path: string,
  { adminToken }: Pick<Settings, "adminToken">,
  body?: object,
  method: "POST" | "PUT" = "POST",
): Promise<Response> {
  const headers = {
    ...(adminToken !== undefined && { authorization: `Bearer ${adminToken}` }),
    ...(body !== undefined && { "content-type": "application/json" }),
  };
  const answer = await fetch(`${url}${path}`, {
    headers,
    ...(body !== undefined && { method, body: JSON.stringify(body) }),
  }).catch((error: unknown) => {
    throw new CommandError(
      `Nothing answers at ${url} (${codeOf(error) ?? messageOf(error)}). Start Polder with \`npx polder start\`, or say where its API is with --api or POLDER_API_URL.`,
    );
  });
  if (answer.ok) return answer;
  const refusal = (await answer.json().catch(() => ({}))) as { code?: string; message?: string };
  const advice =
    refusal.code === "token_required" ? " Set POLDER_ADMIN_TOKEN to the token that the API was started with." : "";
  const { message = "no reason" } = refusal;
  throw new CommandError(`${url} says ${answer.status}: ${message}${/[.?!]$/.test(message) ? "" : "."}${advice}`);
}
