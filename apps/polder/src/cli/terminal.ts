import { createInterface } from "node:readline/promises";
import type { Readable, Writable } from "node:stream";
import picocolors from "picocolors";

export type Colours = ReturnType<typeof picocolors.createColors>;

export interface Terminal {
  colours: Colours;
  /** A person is reading: lines may be redrawn, questions asked. */
  isInteractive: boolean;
  /** Whether answers to a pipe or file are wanted without decoration. */
  isOutputTerminal: boolean;
  out(line?: string): void;
  err(line: string): void;
  /** Text as it is, without a line break. */
  write(text: string | Uint8Array): void;
  /** Overwrites the line that is being drawn; only on a terminal. */
  redraw(line: string): void;
  ask(question: string, proposal: string): Promise<string>;
  /** All of standard input. */
  readInput(): Promise<string>;
}

interface Streams {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable;
  env: { readonly [name: string]: string | undefined };
}

export function createTerminal({ stdin, stdout, stderr, env }: Streams): Terminal {
  const isOutputTerminal = stdout.isTTY === true;
  const hasColours = isOutputTerminal && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  return {
    colours: picocolors.createColors(hasColours),
    isInteractive: isOutputTerminal && stdin.isTTY === true,
    isOutputTerminal,
    out: (line = "") => void stdout.write(`${line}\n`),
    err: (line) => void stderr.write(`${line}\n`),
    write: (text) => void stdout.write(text),
    redraw: (line) => void (isOutputTerminal && stdout.write(`\r\u001b[2K${line}`)),
    async ask(question, proposal) {
      const lines = createInterface({ input: stdin, output: stdout });
      const hint = proposal === "" ? "" : ` (${proposal})`;
      const answer = await lines.question(`${question}${hint}: `).finally(() => lines.close());
      return answer.trim() || proposal;
    },
    async readInput() {
      const chunks: Buffer[] = [];
      for await (const chunk of stdin) chunks.push(Buffer.from(chunk as Buffer));
      return Buffer.concat(chunks).toString("utf8");
    },
  };
}
