/**
 * What a log may say of an error. Our own sentences and the system's are fine. A database quotes the rows that it refused, and a parser the text
 * that it could not read: of those only the kind is told.
 */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return errorKind(error);
  const isOurs = "code" in error ? typeof error.code === "string" : error.constructor === Error;
  return isOurs ? error.message : errorKind(error);
}

/** Its name and code: what a log may say of an error where a visitor's own words were at hand. */
export function errorKind(error: unknown): string {
  if (!(error instanceof Error)) return `${typeof error} thrown`;
  const code = "code" in error ? ` ${String(error.code)}` : "";
  return `${error.name}${code}`;
}
