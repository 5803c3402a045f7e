import { expect, it } from "vitest";
import { judgeTokens, judgeTree, type Token } from "./judge-statement.ts";

/** `file` is a bare word, `"file"` a quoted one, `(`, `)`, `.`, `,`, `->` and numbers are themselves. */
const tokens = (text: string): Token[] =>
  text.split(" ").map((word) => {
    if (/^["`]/.test(word)) return { kind: "QuotedIdentifier", text: word };
    if (/^\d/.test(word)) return { kind: "Number", text: "" };
    const marks: Record<string, string> = {
      "(": "OpeningRoundBracket",
      ")": "ClosingRoundBracket",
      ".": "Dot",
      ",": "Comma",
      "->": "Arrow",
      "-": "Minus",
    };
    const kind = marks[word];
    return kind === undefined ? { kind: "BareWord", text: word } : { kind, text: "" };
  });
const parameter = (name: string, value: string) => ({ name, value: Buffer.from(value) });

it.each([
  ["SELECT file ( )"],
  ["SELECT FiLe ( )"],
  ['SELECT "file" ( )'],
  ["SELECT `file` ( )"],
  ["SELECT `fi\\x6ce` ( )"],
  ["SELECT x APPLY ( file )"],
  ["SELECT x APPLY ( y -> z )"],
  ["SELECT x APPLY y -> z"],
  ["SELECT x APPLY ( y ( SELECT 1 ) )"],
  ["SELECT x apply ( y ( 1 ) , z )"],
  ["SELECT x APPLY"],
  ["SELECT arrayMap ( file , x )"],
  ["SELECT eval ( )"],
])("refuses %s", (text) => {
  expect(judgeTokens(tokens(text), [])?.code).toBe(497);
});

it.each([
  ["SELECT t . file FROM t"],
  ["SELECT properties . file"],
  ["SELECT files , filename FROM t"],
  ["SELECT x APPLY ( sum )"],
  ["SELECT x APPLY sum FROM t"],
  ["SELECT x APPLY ( quantile ( 0.9 ) ) FROM t"],
  ["SELECT x APPLY quantiles ( 0.5 , - 1 ) FROM t"],
  ["SELECT t . apply FROM t"],
])("has nothing against %s", (text) => {
  expect(judgeTokens(tokens(text), [])).toBeUndefined();
});

it("refuses a name that comes as a parameter, where parameters can be names", () => {
  const statement = tokens("SELECT arrayMap ( { f : Identifier } , x )");
  for (const value of ["file", " FILE ", "`file`", '"file"']) {
    expect(judgeTokens(statement, [parameter("param_f", value)])?.code, value).toBe(497);
  }
  expect(judgeTokens(statement, [parameter("param_f", "views"), parameter("other", "file")])).toBeUndefined();
  expect(judgeTokens(tokens("SELECT { f : String }"), [parameter("param_f", "file")])).toBeUndefined();
});

const tree = (...lines: string[]) =>
  judgeTree(
    ["SelectWithUnionQuery (children 1)", " ExpressionList (children 1)", "  SelectQuery (children 1)", ...lines],
    [],
  );

it("refuses functions, names and table functions by the tree", () => {
  expect(tree("   Function file (children 1)")?.code).toBe(497);
  expect(tree("   Identifier file (alias f)")?.code).toBe(497);
  expect(tree("   Identifier t.file")).toBeUndefined();
  expect(tree("   TableExpression (children 1)", "    Function url (children 1)")?.message).toContain(
    "table function url",
  );
  expect(tree("   TableExpression (children 1)", "    Function numbers (children 1)")).toBeUndefined();
  expect(tree("   Function url (children 1)")).toBeUndefined(); // not a table function here: the engine knows no such function
});

it("refuses expressions in the structure of values", () => {
  const values = (structure: string) =>
    tree(
      "   TableExpression (children 1)",
      "    Function values (children 1)",
      "     ExpressionList (children 2)",
      `      Literal '${structure}'`,
    );
  expect(values("a Int8, b String ALIAS f(1)")?.code).toBe(497);
  expect(values("a Int8, b String/**/default f(1)")?.code).toBe(497);
  expect(values("a Int8, b String")).toBeUndefined();
});

it("refuses what does not read, and parts that it does not know", () => {
  expect(judgeTree(["InsertQuery  t"], [])?.message).toContain("only reads");
  expect(judgeTree([], [])?.message).toContain("only reads");
  expect(judgeTree(["Explain EXPLAIN (children 1)", " InsertQuery  t"], [])?.code).toBe(497);
  expect(judgeTree(["Explain EXPLAIN TABLE OVERRIDE (children 1)"], [])?.message).toContain("EXPLAIN");
  expect(
    judgeTree(["Explain EXPLAIN PIPELINE (children 1)", " SelectWithUnionQuery (children 1)"], []),
  ).toBeUndefined();
  expect(tree("   MysteryNode (children 1)")?.message).toContain("MysteryNode");
});

it("refuses brackets in SHOW, whose condition the tree does not show", () => {
  expect(judgeTree(["ShowTables"], tokens("SHOW TABLES WHERE f ( )"))?.code).toBe(497);
  expect(judgeTree(["ShowTables"], tokens("SHOW TABLES"))).toBeUndefined();
});
