import type { IncomingHttpHeaders } from "node:http";
import { equalInConstantTime } from "../equal-in-constant-time.ts";
import type { Refusal } from "./refusal.ts";
import type { UrlParameter } from "./url-parameters.ts";

/**
 * Who asks, given as with any ClickHouse: in the URL, as Basic, or in headers. There is one user, `default` (or nobody named), whose password is the
 * configured one, empty when there is none. Undefined when welcome.
 */
export function authenticate(
  headers: IncomingHttpHeaders,
  parameters: readonly UrlParameter[],
  expectedPassword: string | undefined,
): Refusal | undefined {
  const given = findCredentials(headers, parameters);
  if (given === undefined)
    return failure("give the user and password in one way only: URL, Basic or X-ClickHouse headers");
  const isKnownUser = given.user === "" || given.user === "default";
  const isRightPassword = equalInConstantTime(given.password, expectedPassword ?? "");
  if (isKnownUser && isRightPassword) return undefined;
  const name = printable(given.user === "" ? "default" : given.user);
  return failure(`${name}: Authentication failed: password is incorrect, or there is no user with such name`);
}

interface Credentials {
  user: string;
  password: string;
}

function findCredentials(headers: IncomingHttpHeaders, parameters: readonly UrlParameter[]): Credentials | undefined {
  const found: Credentials[] = [];
  const user = headers["x-clickhouse-user"];
  const key = headers["x-clickhouse-key"];
  if (user !== undefined || key !== undefined) found.push({ user: String(user ?? ""), password: String(key ?? "") });
  if (headers.authorization !== undefined) {
    const [scheme, token = ""] = headers.authorization.split(" ", 2);
    if (scheme?.toLowerCase() !== "basic") return undefined;
    const text = Buffer.from(token, "base64").toString("utf8");
    const at = text.indexOf(":");
    found.push(at < 0 ? { user: text, password: "" } : { user: text.slice(0, at), password: text.slice(at + 1) });
  }
  const last = (name: string) => parameters.findLast((parameter) => parameter.name === name)?.value.toString("utf8");
  const urlUser = last("user");
  const urlPassword = last("password");
  if (urlUser !== undefined || urlPassword !== undefined) {
    found.push({ user: urlUser ?? "", password: urlPassword ?? "" });
  }
  return found.length > 1 ? undefined : (found[0] ?? { user: "", password: "" });
}

const printable = (text: string): string => text.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, "?");

const failure = (message: string): Refusal => ({ status: 403, code: 516, name: "AUTHENTICATION_FAILED", message });
