import type { ClickHouse, QueryOptions } from "./clickhouse.ts";

/** A SELECT in two: an expression for each field of a row, and the rest from FROM on. */
export interface Part<Row> {
  columns: { readonly [Name in keyof Row]-?: string };
  from: string;
}

/**
 * Several questions as one statement: each that is put costs the server and the client a millisecond before anything is read. The rows of each are those of
 * `query`, but for whatever JSON has no form for; their order is that of the part.
 */
export async function askTogether<Rows extends { [name: string]: object }>(
  clickhouse: Pick<ClickHouse, "query">,
  parts: { readonly [Name in keyof Rows]: Part<Rows[Name]> | undefined },
  options?: QueryOptions,
): Promise<{ [Name in keyof Rows]: Rows[Name][] }> {
  const asked = Object.entries(parts as { [name: string]: Part<object> | undefined }).flatMap(([name, part]) =>
    part === undefined ? [] : [{ name, names: Object.keys(part.columns), part }],
  );
  const answers = await clickhouse.query<{ n: number; fields: string }>(
    asked
      .map(
        ({ part }, n) =>
          `SELECT ${n} AS n, toJSONString(tuple(${Object.values(part.columns).join(", ")})) AS fields ${part.from}`,
      )
      .join("\nUNION ALL\n"),
    options,
  );
  const found: { [name: string]: object[] } = Object.fromEntries(Object.keys(parts).map((name) => [name, []]));
  for (const { n, fields } of answers) {
    const { name, names } = asked[n]!;
    const values = JSON.parse(fields) as unknown[];
    found[name]!.push(Object.fromEntries(names.map((column, at) => [column, values[at]])));
  }
  return found as { [Name in keyof Rows]: Rows[Name][] };
}
