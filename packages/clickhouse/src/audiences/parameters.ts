import type { QueryParameter } from "../clickhouse.ts";

/** Of a statement in the making. Whatever a caller says becomes a parameter; nothing of it becomes text of the statement. */
export interface Parameters {
  /** Its place in the statement, as `{p0:String}`. The same value has one place. */
  bind(value: QueryParameter, type: ParameterType): string;
  /** Those of another statement that becomes part of this one, and its text with their new names. */
  adopt(part: { sql: string; params: BoundParameters }): string;
  readonly all: BoundParameters;
}
export type BoundParameters = { readonly [name: string]: QueryParameter };
export type ParameterType =
  | "String"
  | "Array(String)"
  | "Float64"
  | "Array(Float64)"
  | "Int64"
  | "UInt8"
  | "UInt64"
  | "Date";

/** @param fixed parameters with names of their own, as `site`. */
export function createParameters(fixed: BoundParameters = {}): Parameters {
  const all: { [name: string]: QueryParameter } = { ...fixed };
  const names = new Map<string, string>();
  const nameOf = (value: QueryParameter, type: string): string => {
    const key = `${type} ${JSON.stringify(value)}`;
    const known = names.get(key);
    if (known !== undefined) return known;
    const name = `p${names.size}`;
    names.set(key, name);
    all[name] = value;
    return name;
  };
  return {
    all,
    bind: (value, type) => `{${nameOf(value, type)}:${type}}`,
    adopt: ({ sql, params }) =>
      sql.replaceAll(/\{(\w+)\s*:\s*([^{}]+)\}/g, (place, name: string, type: string) => {
        const value = params[name];
        if (value === undefined || (Object.hasOwn(fixed, name) && fixed[name] === value)) return place;
        return `{${nameOf(value, type)}:${type}}`;
      }),
  };
}
