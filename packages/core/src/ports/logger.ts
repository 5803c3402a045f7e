/** Structured, one JSON object a line, never personal data: ids of requests and sites are fine, ids of visitors are not. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
export type LogFields = { readonly [name: string]: string | number | boolean | undefined };

export function createJsonLogger(options: { name: string; write: (line: string) => void; now: () => Date }): Logger {
  const line = (level: string) => (message: string, fields?: LogFields) =>
    options.write(
      `${JSON.stringify({ time: options.now().toISOString(), level, name: options.name, message, ...fields })}\n`,
    );
  return { info: line("info"), warn: line("warn"), error: line("error") };
}
