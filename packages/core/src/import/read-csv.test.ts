import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CsvError, openCsv, type CsvOptions } from "./read-csv.ts";

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const utf16 = (text: string, mark: boolean): Uint8Array => Buffer.from((mark ? "\ufeff" : "") + text, "utf16le");

async function readAll(given: string | Uint8Array, options: CsvOptions = {}, size = 7) {
  const bytes = typeof given === "string" ? utf8(given) : given;
  const file = await openCsv(inPieces(bytes, size), options);
  const rows: [line: number, ...cells: string[]][] = [];
  for await (const { line, cells } of file.rows) rows.push([line, ...cells]);
  return { headers: file.headers, separator: file.separator, encoding: file.encoding(), rows };
}

const failure = async (given: string | Uint8Array, size?: number): Promise<CsvError> =>
  readAll(given, {}, size).then(
    () => Promise.reject(new Error("it was read")),
    (error: unknown) => {
      if (error instanceof CsvError) return error;
      throw error;
    },
  );

describe("a file", () => {
  it("says on which line each row begins, over quotes with line breaks, empty lines and line ends of every kind", async () => {
    const text = 'id,name\r\n1,"An, the ""first"""\r\n\n2,"two\r\nlines"\n3,"a\n\nb"\r4,last';
    expect((await readAll(text)).rows).toEqual([
      [2, "1", 'An, the "first"'],
      [4, "2", "two\r\nlines"],
      [6, "3", "a\n\nb"],
      [9, "4", "last"],
    ]);
  });

  it.each([
    ["a,b;c\n1,2;3", ",", ["a", "b;c"]],
    ["a;b\n1,5;2", ";", ["a", "b"]],
    ["a\tb,c\td\n", "\t", ["a", "b,c", "d"]],
    ['"a,b,c";d\n1;2', ";", ["a,b,c", "d"]],
    ["sep=;\r\na,b,c;d\r\n1;2", ";", ["a,b,c", "d"]],
    ["only\n1", ",", ["only"]],
  ])("of %j is cut at its own separator", async (text, separator, headers) => {
    expect(await readAll(text)).toMatchObject({ separator, headers });
  });

  it("counts a line that names the separator", async () => {
    expect((await readAll("sep=;\na;b\n1;2\n")).rows).toEqual([[3, "1", "2"]]);
  });

  it("is cut as it is told, whatever its first line looks like", async () => {
    expect((await readAll("a;b,c\n1;2,3", { separator: "," })).rows).toEqual([[2, "1;2", "3"]]);
  });

  it("keeps lines of more and of fewer cells as they are, and rows of nothing away", async () => {
    expect((await readAll("a,b\n1\n1,2,3\n,\n , \n")).rows).toEqual([
      [2, "1"],
      [3, "1", "2", "3"],
    ]);
  });

  it("takes a stray quote for a sign like any other", async () => {
    expect((await readAll('a,b\n24" screen,5\n"x"y,6\n')).rows).toEqual([
      [2, '24" screen', "5"],
      [3, '"x"y', "6"],
    ]);
  });

  it.each([
    ["", "empty"],
    ["\n\n", "empty"],
    ["a,,b\n1,2,3", "Column 2"],
    ["a,b,a\n1,2,3", "“a”"],
  ])("of %j is refused with what is wrong with its first line", async (text, words) => {
    const error = await failure(text);
    expect(error.line).toBe(1);
    expect(error.message).toContain(words);
  });

  it("ends, with the line, where a quote is never closed; and says so of one that would take the memory", async () => {
    expect(await failure('a,b\n1,2\n3,"four\n5,6\n')).toMatchObject({
      line: 3,
      message: expect.stringContaining("never closed") as string,
    });
    const long = await failure(utf8(`a,b\n1,"${"x\n".repeat(1024 * 1024)}`), 64 * 1024);
    expect(long).toMatchObject({ line: 2, message: expect.stringContaining("longer than") as string });
  });
});

describe("how a file is written", () => {
  const text = "naam,plaats\nZoë,’s-Hertogenbosch €\n";
  const rows = [[2, "Zoë", "’s-Hertogenbosch €"]];
  const windows = Buffer.from(text.replaceAll("’", "\u0092").replaceAll("€", "\u0080"), "latin1");

  it.each([
    ["UTF-8", utf8(text), "utf-8"],
    ["UTF-8 with a mark", utf8(`\ufeff${text}`), "utf-8"],
    ["UTF-16 with a mark", utf16(text, true), "utf-16le"],
    ["UTF-16 without one", utf16(text, false), "utf-16le"],
    ["UTF-16, the other way round", Buffer.from(utf16(text, true)).swap16(), "utf-16be"],
    ["Windows-1252", windows, "windows-1252"],
  ])("is found out: %s, in pieces of any size", async (_, bytes, encoding) => {
    for (const size of [1, 2, 3, 5, 1000])
      expect(await readAll(bytes, {}, size)).toMatchObject({ encoding, headers: ["naam", "plaats"], rows });
  });

  it("is found out at the first sign that says it, however late", async () => {
    const start = `a,b\n${"1,plain\n".repeat(9_000)}`;
    const late = Buffer.concat([utf8(start), Buffer.from("2,Zo\u00eb\n", "latin1")]);
    const { rows: found, encoding } = await readAll(late, {}, 64 * 1024);
    expect(encoding).toBe("windows-1252");
    expect(found.at(-1)).toEqual([9_002, "2", "Zoë"]);
    expect((await readAll(utf8(`${start}2,Zoë\n`), {}, 64 * 1024)).rows.at(-1)).toEqual([9_002, "2", "Zoë"]);
  });

  it("is what it is stated to be", async () => {
    expect((await readAll(windows, { encoding: "utf-8" })).rows[0]![1]).toBe("Zo\ufffd");
  });
});

it("gives back what was written, whatever is in it, in whatever pieces it comes", async () => {
  const cell = fc
    .string({
      unit: fc.oneof(
        fc.constantFrom(",", ";", '"', "\n", "\r\n", "\t", " ", "é", "€", "x", "1"),
        fc.string({ minLength: 1, maxLength: 1 }),
      ),
      maxLength: 8,
    })
    .filter((text) => !text.includes("\ufffd"));
  const row = fc
    .array(cell, { minLength: 3, maxLength: 3 })
    .filter((cells) => cells.some((each) => each.trim() !== ""));
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
  await checkAsyncProperty(
    fc.asyncProperty(
      fc.array(row, { maxLength: 12 }),
      fc.constantFrom(",", ";", "\t"),
      fc.constantFrom("\n", "\r\n"),
      fc.integer({ min: 1, max: 50 }),
      fc.constantFrom("utf8", "utf16le"),
      async (rows, separator, lineEnd, size, encoding) => {
        const lines = [["eén", "b", "c"], ...rows].map((cells) => cells.map(quoted).join(separator));
        const bytes = Buffer.from(`\ufeff${lines.join(lineEnd)}`, encoding as BufferEncoding);
        const found = await readAll(bytes, { separator }, size);
        expect(found.headers).toEqual(["eén", "b", "c"]);
        expect(found.rows.map(([, ...cells]) => cells)).toEqual(rows);
        let line = 2;
        for (const [index, cells] of rows.entries()) {
          expect(found.rows[index]![0]).toBe(line);
          line += 1 + (cells.join("").match(/\r\n|\n|\r/g)?.length ?? 0);
        }
      },
    ),
    150,
  );
});
