import { maxReadChars } from "../limits.ts";
import { scrub } from "../scrub.ts";

const maxMessageChars = 200;

export interface ErrorReport {
  message: string;
  /** `TypeError` and the like. */
  type?: string | undefined;
  /** Address of the script, without its query. */
  source?: string | undefined;
  line_number?: number | undefined;
  column_number?: number | undefined;
  /** Where the error was made, as the browser writes it. */
  frame?: string | undefined;
}

const withoutQuery = (text: string): string => text.replace(/[?#][^:)\s]*/g, "");

/** What may be said of an error; undefined when there is nothing in it: another site's script, or a reason that is not text. */
export const errorReport = (
  error: unknown,
  { message, filename, lineno, colno }: Partial<ErrorEvent> = {},
): ErrorReport | undefined => {
  const { name, message: own, stack } = (error ?? {}) as Partial<Error>;
  const text = own || message || (typeof error === "string" ? error : "");
  if (typeof text !== "string" || !text || (/^Script error\.?$/.test(text) && !lineno)) return undefined;
  // Some browsers begin the stack with the message, which may have lines of its own.
  const frame = stack?.split("\n").find((line) => /:\d+:\d+\)?$/.test(line));
  return {
    message: scrub(text.slice(0, maxReadChars)).slice(0, maxMessageChars),
    type: name,
    source: filename ? withoutQuery(filename) : undefined,
    line_number: lineno,
    column_number: colno,
    frame: frame && withoutQuery(frame.trim()),
  };
};
