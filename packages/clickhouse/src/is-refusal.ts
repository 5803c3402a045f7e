import { ClickHouseQueryError } from "./clickhouse.ts";

/** Numbers of ClickHouse's errors about rows that it could not read. They come before anything is written, since an insert is one block. */
const unreadable = new Set([
  6, // CANNOT_PARSE_TEXT
  15, // DUPLICATE_COLUMN
  25, // CANNOT_PARSE_ESCAPE_SEQUENCE
  26, // CANNOT_PARSE_QUOTED_STRING
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  32, // ATTEMPT_TO_READ_AFTER_EOF
  33, // CANNOT_READ_ALL_DATA
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  53, // TYPE_MISMATCH
  69, // ARGUMENT_OUT_OF_BOUND
  70, // CANNOT_CONVERT_TYPE
  72, // CANNOT_PARSE_NUMBER
  117, // INCORRECT_DATA
  128, // TOO_LARGE_ARRAY_SIZE
  130, // CANNOT_READ_ARRAY_FROM_TEXT
  131, // TOO_LARGE_STRING_SIZE
  190, // SIZES_OF_ARRAYS_DONT_MATCH
  306, // TOO_DEEP_RECURSION
  321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  407, // DECIMAL_OVERFLOW
  467, // CANNOT_PARSE_BOOL
]);

/**
 * Whether the server understood the insert and will not take its rows, which left no trace. The same words from a view mean something else: the
 * table itself already has the rows.
 */
export const isRefusal = (error: unknown): error is ClickHouseQueryError =>
  error instanceof ClickHouseQueryError && unreadable.has(error.code) && !/while pushing to view/i.test(error.message);

/** The server's words without the piece of the row that it quotes: they are stored and may be logged. */
export function refusalText(error: ClickHouseQueryError): string {
  const [words = ""] = error.message.split(/ (?=(?:before|here): )|: \(while |\n/);
  const place = error.message.match(/while reading the value of key ([\w.]+)/)?.[1];
  const row = error.message.match(/\(at row (\d+)\)/)?.[1];
  return [words.trim(), place && `column ${place}`, row && `row ${row} of the insert`].filter(Boolean).join(", ");
}
