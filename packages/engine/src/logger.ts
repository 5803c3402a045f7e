type Log = (message: string, fields?: { readonly [name: string]: string | number | boolean | undefined }) => void;

/** What the engine tells about itself; `core`'s logger fits. Never a password, never the text of a query. */
export interface EngineLogger {
  info: Log;
  warn: Log;
  error: Log;
}
