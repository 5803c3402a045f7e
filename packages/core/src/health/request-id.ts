/**
 * The id under which a request is in the logs: that of its trace (W3C Trace Context), else the one that a proxy gave it, else `newId()`. Only
 * hexadecimal ones are taken over, since a text of the sender's choice could tell who that is.
 */
export function requestIdOf(header: (name: string) => string | undefined, newId: () => string): string {
  const trace = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-/.exec(header("traceparent") ?? "")?.[1];
  return trace ?? /^[\da-f-]{16,64}$/i.exec(header("x-request-id") ?? "")?.[0] ?? newId();
}
