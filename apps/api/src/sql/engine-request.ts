/** A complete request to the engine: it never sees half of one. */
export interface EngineRequest {
  method: string;
  /** With the parameters. */
  path: string;
  headers: Readonly<Record<string, string>>;
  /** Empty for GET and HEAD. */
  body: Buffer;
}

export interface Cancellation {
  /** Asks the engine to stop the query. */
  cancel: () => Promise<void>;
  /** How long an engine may take to notice that a query was cancelled before its connection is cut, in milliseconds. */
  graceMs: number;
}
