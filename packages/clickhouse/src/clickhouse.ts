import { Readable } from "node:stream";

import { ClickHouseError, ClickHouseLogLevel, createClient } from "@clickhouse/client";
import type { Logger } from "@polder/core";

/** A value bound to `{name: Type}` in a query. */
export type QueryParameter = string | number | boolean | bigint | Date | readonly QueryParameter[];
export interface QueryOptions {
  params?: { readonly [name: string]: QueryParameter };
  settings?: { readonly [name: string]: string | number };
  /** Ends the wait and, for reads, the query. */
  signal?: AbortSignal;
  /** Of a command that rewrites tables: the server says nothing until it is done, and goes on when nobody waits any more. Waited for up to a day. */
  isLong?: boolean;
}

/** One ClickHouse server or the embedded engine, over HTTP. Every method rejects with a {@link ClickHouseQueryError} or a connection's error. */
export interface ClickHouse {
  readonly url: string;
  readonly database: string;
  readonly username: string;
  /** The rows of a SELECT (without FORMAT) as objects; 64-bit integers are numbers, so keep them below 2^53 or cast to String. */
  query<Row>(sql: string, options?: QueryOptions): Promise<Row[]>;
  /** The same, as they arrive: for answers too long for memory. */
  stream<Row>(sql: string, options?: QueryOptions): AsyncIterable<Row>;
  /** The answer to a SELECT with a FORMAT of its own, as its bytes arrive. Those of a failure in the middle are an error, too. */
  streamBytes(sql: string, options?: QueryOptions): AsyncIterable<Uint8Array>;
  /** A statement without an answer. Resolves when it has been carried out. */
  command(sql: string, options?: QueryOptions): Promise<void>;
  /** Objects into a table of the database. */
  insertRows(table: string, rows: readonly object[], options?: QueryOptions): Promise<void>;
  /** JSONEachRow bytes into a table of the database, sent as they are. */
  insertBytes(table: string, chunks: readonly Uint8Array[], options?: QueryOptions): Promise<void>;
  /** `CREATE DICTIONARY … SOURCE(CLICKHOUSE(<this> QUERY …))`: how a dictionary of the server logs in to the server itself. */
  dictionaryCredentials(): string;
  /** The same server and user without a database: for the time before it exists. Closed with this one. */
  withoutDatabase(): ClickHouse;
  /** Whether a query is answered within a second, or what is given. A server that is not there, or refuses, is not waited for. */
  isReachable(withinMs?: number): Promise<boolean>;
  close(): Promise<void>;
}

export interface ClickHouseOptions {
  /** `http://host:port` */
  url: string;
  username: string;
  password: string;
  database: string;
  logger: Logger;
  /** How long a request may take. Default 60 s. */
  timeoutMs?: number;
  maxConnections?: number;
}

/** ClickHouse understood the request and refused it. `code` is its number (60: no such table). The message can quote the query or its rows. */
export class ClickHouseQueryError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = "ClickHouseQueryError";
    this.code = code;
  }
}

const reachableWithinMs = 1_000;
const maxIdleSocketMs = 2_500;
const longestMs = 24 * 3_600_000;

export function createClickHouse(options: ClickHouseOptions): ClickHouse {
  const clientOptions = {
    url: options.url,
    username: options.username,
    password: options.password,
    database: options.database,
    application: "polder",
    request_timeout: options.timeoutMs ?? 60_000,
    max_open_connections: options.maxConnections ?? 20,
    // Shorter than any server's own: a socket that the server has just closed would fail the request.
    keep_alive: { enabled: true, idle_socket_ttl: maxIdleSocketMs },
    clickhouse_settings: {
      // A number in JavaScript, not a text. Views and queries keep counts far below 2^53.
      output_format_json_quote_64bit_integers: 0,
    },
    log: { level: ClickHouseLogLevel.OFF },
  } as const;
  const client = createClient(clientOptions);
  let patient: typeof client | undefined;
  const clientFor = (given: QueryOptions | undefined): typeof client =>
    given?.isLong === true ? (patient ??= createClient({ ...clientOptions, request_timeout: longestMs })) : client;

  const run = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw translate(error);
    }
  };
  const common = (given: QueryOptions = {}) => ({
    // In the body, not in the address: thousands of keys do not fit in an address.
    use_multipart_params_auto: true,
    ...(given.params === undefined ? {} : { query_params: { ...given.params } }),
    ...(given.settings === undefined ? {} : { clickhouse_settings: { ...given.settings } }),
    ...(given.signal === undefined ? {} : { abort_signal: given.signal }),
  });

  let bare: ClickHouse | undefined;

  return {
    url: options.url,
    database: options.database,
    username: options.username,
    query: async (sql, given) => {
      const answer = await run(client.query({ query: sql, format: "JSONEachRow", ...common(given) }));
      return run(answer.json());
    },
    stream: async function* <Row>(sql: string, given?: QueryOptions) {
      const answer = await run(client.query({ query: sql, format: "JSONEachRow", ...common(given) }));
      try {
        for await (const rows of answer.stream<Row>()) for (const row of rows) yield row.json<Row>();
      } catch (error) {
        throw translate(error);
      }
    },
    streamBytes: async function* (sql, given) {
      const { stream } = await run(client.exec({ query: sql, ...common(given) }));
      try {
        yield* stream as AsyncIterable<Uint8Array>;
      } catch (error) {
        throw translate(error);
      }
    },
    command: async (sql, given) => {
      await run(clientFor(given).command({ query: sql, ...common(given) }));
    },
    insertRows: async (table, rows, given) => {
      if (rows.length === 0) return;
      // Done when answered: since 26.2 the server collects inserts of several callers by default.
      const settings = { async_insert: 0, ...given?.settings };
      await run(client.insert({ table, values: rows, format: "JSONEachRow", ...common({ ...given, settings }) }));
    },
    insertBytes: async (table, chunks, given) => {
      const values = Readable.from(chunks, { objectMode: false });
      const { stream } = await run(
        client.exec({ query: `INSERT INTO ${quoteName(table)} FORMAT JSONEachRow`, values, ...common(given) }),
      );
      // The answer is empty, but its socket is free again only when it has been read.
      await run(drain(stream));
    },
    dictionaryCredentials: () => `USER ${quoteText(options.username)} PASSWORD ${quoteText(options.password)}`,
    isReachable: async (withinMs = reachableWithinMs) => {
      const signal = AbortSignal.timeout(withinMs);
      try {
        return (await client.ping({ select: true, abort_signal: signal })).success;
      } catch {
        return false;
      }
    },
    withoutDatabase: () => (bare ??= createClickHouse({ ...options, database: "system" })),
    close: async () => {
      await bare?.close();
      await patient?.close();
      await client.close();
    },
  };
}

export const quoteName = (name: string): string => `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;

export const quoteText = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

function translate(error: unknown): unknown {
  if (error instanceof ClickHouseError) return new ClickHouseQueryError(Number(error.code), error.message);
  return error;
}
