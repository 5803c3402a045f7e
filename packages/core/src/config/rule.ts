/** A small description of a JSON value, from which the parser, the TypeScript type and the JSON Schema of the configuration are made. */
export type Rule = TextRule | NumberRule | BooleanRule | OneOfRule | ListRule | MapRule | ObjectRule;

interface Common {
  about: string;
  /** May be absent, and then has no value. A rule with a `default` may be absent too; all others have to be there. */
  optional?: true;
}
export interface TextRule extends Common {
  type: "text";
  default?: string;
  pattern?: RegExp;
  /** What the pattern asks for, in words, as the end of "must be …". */
  expected?: string;
  /** What is wrong with a text that the pattern lets through; undefined when nothing. */
  check?: (text: string) => string | undefined;
}
export interface NumberRule extends Common {
  type: "number";
  default?: number;
  /** Whole numbers within these, both included. */
  min: number;
  max: number;
}
export interface BooleanRule extends Common {
  type: "boolean";
  default?: boolean;
}
export interface OneOfRule extends Common {
  type: "one_of";
  values: readonly string[];
  default?: string;
}
export interface ListRule extends Common {
  type: "list";
  of: Rule;
  isNotEmpty?: true;
  default?: readonly never[];
}
export interface MapRule extends Common {
  type: "map";
  of: Rule;
  /** Of its names; any when absent. `expected` in words, as the end of "must be …". */
  names?: {
    pattern: RegExp;
    expected: string;
    /** What is wrong with a name that the pattern lets through; undefined when nothing. */
    check?: (name: string) => string | undefined;
  };
  isNotEmpty?: true;
  default?: { readonly [name: string]: never };
}
export interface ObjectRule extends Common {
  type: "object";
  fields: { readonly [name: string]: Rule };
  /** An absent object is read as an empty one, so that the defaults of its fields apply. */
  default?: { readonly [name: string]: never };
}

/** The type of what a rule lets through. */
export type ValueOf<R> = R extends { type: "text" }
  ? string
  : R extends { type: "number" }
    ? number
    : R extends { type: "boolean" }
      ? boolean
      : R extends { type: "one_of"; values: readonly (infer V)[] }
        ? V
        : R extends { type: "list"; of: infer Item }
          ? readonly ValueOf<Item>[]
          : R extends { type: "map"; of: infer Item }
            ? { readonly [name: string]: ValueOf<Item> }
            : R extends { type: "object"; fields: infer Fields }
              ? ObjectOf<Fields>
              : never;

type ObjectOf<Fields> = {
  readonly [K in keyof Fields as Fields[K] extends { optional: true } ? never : K]: ValueOf<Fields[K]>;
} & {
  readonly [K in keyof Fields as Fields[K] extends { optional: true } ? K : never]?: ValueOf<Fields[K]>;
};
