/**
 * The id under which a request is in the logs: that of its trace (W3C Trace Context), else the one that a proxy gave it, else `newId()`. Only
 * random ones are taken over, of 32 hexadecimal digits or UUIDs: a text of the sender's choice, or a number, could tell who that is.
 * @param header of a proxy of ours; anybody else's word is not to be asked for.
 */
export function requestIdOf(header: ((name: string) => string | undefined) | undefined, newId: () => string): string {
  const trace = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-/.exec(header?.("traceparent") ?? "")?.[1];
  const given = /^(?:[\da-f]{32}|[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})$/i.exec(header?.("x-request-id") ?? "")?.[0];
  // One in three million random ids has no letter among its digits: such a one is a number.
  return [trace, given].find((id) => id !== undefined && /[a-f]/i.test(id)) ?? newId();
}
