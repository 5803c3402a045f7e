/** As much of csv-parse as is used here. Goes once the package is installed, which brings its own. */
declare module "csv-parse" {
  import type { Transform } from "node:stream";
  export function parse(options: {
    delimiter: string;
    record_delimiter: string[];
    relax_column_count: boolean;
    relax_quotes: boolean;
    skip_empty_lines: boolean;
    max_record_size: number;
    info: boolean;
    skip_records_with_error: boolean;
    on_skip: (error: (Error & { code: string; readonly [key: string]: unknown }) | undefined) => void;
  }): Transform;
}
