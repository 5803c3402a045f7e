import type { EngineAnswer, EngineClient, EngineUser } from "./engine-client.ts";
import { judgeTokens, judgeTree, type Token } from "./judge-statement.ts";
import { badRequest, notAllowed, type Refusal } from "./refusal.ts";
import type { UrlParameter } from "./url-parameters.ts";

export type Verdict =
  | { kind: "allowed" }
  | { kind: "refused"; refusal: Refusal }
  /** The engine's parser would not take it: its own answer. */
  | { kind: "answered"; answer: EngineAnswer };

export type Judge = (statement: Buffer, parameters: readonly UrlParameter[]) => Promise<Verdict>;

const prefix = "EXPLAIN AST ";

/**
 * Asks the engine's lexer as the administrator (the statement is text in a literal there, nothing runs) and its parser as the analyst, who could send
 * the same himself. Rejects with an EngineAwayError.
 */
export function createJudge(options: { engine: EngineClient; admin: EngineUser; analyst: EngineUser }): Judge {
  const { engine, admin, analyst } = options;

  return async (statement, parameters) => {
    const values = parameters.filter(({ name }) => name.startsWith("param_"));
    const [tokens, tree] = await Promise.all([
      engine.ask(admin, tokensOf(statement), tokenSettings),
      engine.ask(analyst, Buffer.concat([Buffer.from(prefix), statement]), [...values, treeFormat]),
    ]);
    if (tokens.status !== 200) return { kind: "refused", refusal: badRequest("The statement could not be read") };
    const words = readTokens(tokens.body);
    const fault = judgeTokens(words, values);
    if (fault !== undefined) return { kind: "refused", refusal: fault };
    if (tree.status !== 200) return { kind: "answered", answer: withOwnPositions(tree) };
    const [header, ...lines] = tree.body.toString("latin1").split("\n");
    // Without SELECT the prefix can become part of an expression (`SELECT EXPLAIN AS AST FROM …`): such an answer is not a tree.
    if (header !== "explain")
      return { kind: "refused", refusal: notAllowed("Begin the statement with SELECT or WITH") };
    if (lines.at(-1) === "") lines.pop();
    const objection = judgeTree(lines, words);
    return objection === undefined ? { kind: "allowed" } : { kind: "refused", refusal: objection };
  };
}

const setting = (name: string, value: string): UrlParameter => ({ name, value: Buffer.from(value) });

const treeFormat = setting("default_format", "TSVRawWithNames");

const tokenSettings = [
  setting("default_format", "JSONCompactEachRow"),
  setting("max_query_size", String(8 * 1024 ** 2)),
  setting("output_format_json_validate_utf8", "0"),
];

/** Names with their text, other tokens without; in order. */
const tokensOf = (statement: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from("WITH "),
    quoted(statement),
    Buffer.from(` AS statement
      SELECT t.3 AS kind, if(kind IN ('BareWord', 'QuotedIdentifier'), substring(statement, t.1 + 1, t.2 - t.1), '') AS text
      FROM (SELECT arrayJoin(tokenizeQuery(statement)) AS t) WHERE kind NOT IN ('Whitespace', 'Comment')`),
  ]);

function quoted(bytes: Buffer): Buffer {
  const escaped = bytes.toString("latin1").replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\0", "\\0");
  return Buffer.from(`'${escaped}'`, "latin1");
}

function readTokens(body: Buffer): Token[] {
  const tokens: Token[] = [];
  for (const line of body.toString("latin1").split("\n")) {
    if (line === "") continue;
    const [kind, text] = JSON.parse(line) as [string, string];
    tokens.push({ kind, text });
  }
  return tokens;
}

/** The parser counted our prefix too. */
function withOwnPositions(answer: EngineAnswer): EngineAnswer {
  const text = answer.body
    .toString("utf8")
    .replace(
      /failed at position (\d+)/,
      (_, position: string) => `failed at position ${Number(position) - prefix.length}`,
    )
    .replace(/\(line 1, col (\d+)\)/, (_, column: string) => `(line 1, col ${Number(column) - prefix.length})`);
  return { ...answer, body: Buffer.from(text) };
}
