import { notAllowed, type Refusal } from "./refusal.ts";
import type { UrlParameter } from "./url-parameters.ts";

/**
 * What the engine would let an analyst do although it should not. Judged on what ClickHouse's own lexer and parser say about the statement: its tokens
 * (`tokenizeQuery`) and its syntax tree (`EXPLAIN AST`). Both are needed: the tree does not show what is inside `APPLY`, `SHOW … WHERE` and column
 * structures, and the tokens do not show what parameters are replaced by.
 */

/** A token that means something (no space, no comment) with its text, empty for literals. */
export interface Token {
  kind: string;
  text: string;
}

/** Functions and table functions that read the server's files or settings, write its log, or run text as a statement. Lower case. */
export const refusedNames: ReadonlySet<string> = new Set([
  "file",
  "eval",
  "generaterandom",
  "catboostevaluate",
  "naivebayesclassifier",
  "naivebayesclassifierwithprob",
  "naivebayesclassifierwithallprobs",
  "showcertificate",
  "getserverport",
  "tcpport",
  "getserversetting",
  "getmacro",
  "getclienthttpheader",
  "getoskernelversion",
  "filesystemavailable",
  "filesystemcapacity",
  "filesystemunreserved",
  "addresstoline",
  "addresstolinewithinlines",
  "addresstosymbol",
  "logtrace",
  "generateserialid",
  "fuzzquery",
  "fuzzjson",
]);

/** Table functions that need nothing but their arguments, or tables that the analyst may read anyway. */
const tableFunctions: ReadonlySet<string> = new Set([
  "numbers",
  "numbers_mt",
  "zeros",
  "zeros_mt",
  "primes",
  "generateSeries",
  "generate_series",
  "values",
  "SQLStandardValues",
  "view",
  "merge",
]);

/** Statements that only read. The first word of the syntax tree. */
const roots: ReadonlySet<string> = new Set([
  "SelectWithUnionQuery",
  "SelectIntersectExceptQuery",
  "SelectQuery",
  "Explain",
  "DescribeQuery",
  "UseQuery",
  "ExistsTableQuery",
  "ExistsViewQuery",
  "ExistsDatabaseQuery",
  "ExistsDictionaryQuery",
  "ShowTables",
  "ShowColumns",
  "ShowIndexes",
  "ShowFunctions",
  "ShowSetting",
  "ShowEngineQuery",
  "ShowGrantsQuery",
  "ShowCreateTableQuery",
  "ShowCreateViewQuery",
  "ShowCreateDatabaseQuery",
  "ShowCreateDictionaryQuery",
]);

/** Every other node that a reading statement is made of. A node that is not here could hide something: it is refused. */
const nodes: ReadonlySet<string> = new Set([
  "ArrayJoin",
  "Asterisk",
  "ColumnsApplyTransformer",
  "ColumnsExceptTransformer",
  "ColumnsListMatcher",
  "ColumnsRegexpMatcher",
  "ColumnsReplaceTransformer",
  "ColumnsReplaceTransformer::Replacement",
  "ColumnsTransformerList",
  "ExpressionList",
  "Function",
  "Identifier",
  "InterpolateElement",
  "Literal",
  "OrderByElement",
  "QualifiedAsterisk",
  "QualifiedColumnsListMatcher",
  "QualifiedColumnsRegexpMatcher",
  "SampleRatio",
  "Set",
  "Subquery",
  "TableExpression",
  "TableIdentifier",
  "TableJoin",
  "TablesInSelectQuery",
  "TablesInSelectQueryElement",
  "WindowDefinition",
  "WindowListElement",
  "WithElement",
]);

const explainKinds = /^Explain EXPLAIN(?: AST| SYNTAX| QUERY TREE| PLAN| PIPELINE| ESTIMATE)?(?: \(children \d+\))?$/;

/** Undefined when nothing speaks against it. */
export function judgeTokens(tokens: readonly Token[], parameters: readonly UrlParameter[]): Refusal | undefined {
  for (const [index, token] of tokens.entries()) {
    if (token.kind === "QuotedIdentifier" && token.text.includes("\\")) {
      return notAllowed("A quoted name may not hold a backslash: write the name plainly");
    }
    const previous = tokens[index - 1];
    // After a dot it is a column of something, which cannot be called.
    if (isName(token) && previous?.kind !== "Dot" && refusedNames.has(nameOf(token))) return refusedName(nameOf(token));
    if (
      token.kind === "BareWord" &&
      nameOf(token) === "apply" &&
      previous?.kind !== "Dot" &&
      !isPlainApply(tokens, index)
    ) {
      return notAllowed(
        "APPLY takes the name of a function, with numbers in brackets if it needs them: write anything else out",
      );
    }
  }
  if (tokens.some((token) => token.kind === "BareWord" && nameOf(token) === "identifier")) {
    for (const { name, value } of parameters) {
      if (!name.startsWith("param_")) continue;
      const given = value.toString("latin1").trim().toLowerCase();
      if (refusedNames.has(given.replaceAll(/["`]/g, ""))) return refusedName(given);
    }
  }
  return undefined;
}

const isName = (token: Token): boolean => token.kind === "BareWord" || token.kind === "QuotedIdentifier";

const nameOf = (token: Token): string =>
  (token.kind === "QuotedIdentifier" ? token.text.slice(1, -1) : token.text).toLowerCase();

const refusedName = (name: string): Refusal =>
  notAllowed(
    `The name ${name} cannot be used: it is a function that reaches beyond the data. A column of that name can be written as table.${name}`,
  );

/** `APPLY f`, `APPLY(f)`, `APPLY f(1, 2)` and `APPLY(f(1, 2))`: the tree shows nothing of what stands there, so nothing else may. */
function isPlainApply(tokens: readonly Token[], index: number): boolean {
  let at = index + 1;
  const kind = () => tokens[at]?.kind;
  const isInBrackets = kind() === "OpeningRoundBracket";
  if (isInBrackets) at++;
  if (kind() !== "BareWord") return false;
  at++;
  if (kind() === "OpeningRoundBracket") {
    at++;
    while (kind() === "Number" || kind() === "Comma" || kind() === "Minus") at++;
    if (kind() !== "ClosingRoundBracket") return false;
    at++;
  }
  return isInBrackets ? kind() === "ClosingRoundBracket" : kind() !== "Arrow";
}

/** `lines`: the rows of `EXPLAIN AST`, parameters replaced. Undefined when nothing speaks against it. */
export function judgeTree(lines: readonly string[], tokens: readonly Token[]): Refusal | undefined {
  const root = wordOf(lines[0] ?? "");
  if (!roots.has(root))
    return notAllowed("This port only reads: SELECT, WITH, EXPLAIN, DESCRIBE, EXISTS, SHOW and USE");
  let isShow = false;
  for (const [index, line] of lines.entries()) {
    const word = wordOf(line);
    if (!nodes.has(word) && !roots.has(word)) {
      return notAllowed(`${word.slice(0, 60)} is a part of SQL that this port cannot judge: write it otherwise`);
    }
    if (word.startsWith("Show")) isShow = true;
    if (word === "Explain" && !explainKinds.test(line.trimStart())) {
      return notAllowed("EXPLAIN is for SELECT here: AST, SYNTAX, QUERY TREE, PLAN, PIPELINE or ESTIMATE");
    }
    const name = (word === "Function" || word === "Identifier") && namedIn(line);
    if (name && refusedNames.has(name.toLowerCase())) return refusedName(name);
    if (word === "Function" && name && wordOf(lines[index - 1] ?? "") === "TableExpression") {
      const refusal = judgeTableFunction(name, lines, index);
      if (refusal !== undefined) return refusal;
    }
  }
  // What stands after WHERE in a SHOW is run but not shown in the tree.
  if (isShow && tokens.some((token) => token.kind === "OpeningRoundBracket")) {
    return notAllowed("SHOW takes no brackets here: ask system.tables and system.columns with SELECT instead");
  }
  return undefined;
}

const wordOf = (line: string): string => /^ *([A-Za-z:]*)/.exec(line)?.[1] ?? "";

const namedIn = (line: string): string | undefined => /^ *[A-Za-z]+ (\S+)/.exec(line)?.[1];

function judgeTableFunction(name: string, lines: readonly string[], index: number): Refusal | undefined {
  if (!tableFunctions.has(name)) {
    return notAllowed(`The table function ${name} cannot be used: it reaches beyond the database`);
  }
  if (name !== "values" && name !== "SQLStandardValues") return undefined;
  // The first argument may be a structure, and an ALIAS in it is an expression that the tree shows as text only.
  const first = lines[index + 2] ?? "";
  return /\b(?:alias|default|materialized|ephemeral)\b/i.test(first)
    ? notAllowed("The structure of values(…) may name columns and types only")
    : undefined;
}
