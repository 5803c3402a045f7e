import { describe, expect, it } from "vitest";
import { instantOf } from "./local-time.ts";
import {
  readBoolean,
  readCell,
  readCurrency,
  readDate,
  readDuration,
  readEmail,
  readId,
  readMoney,
  readNumber,
  readPhone,
  readTime,
  type Conventions,
  type Read,
} from "./read-values.ts";

const usual: Conventions = { timezone: "Europe/Amsterdam", dates: "auto", decimal: "auto", phoneCode: undefined };
const valueOf = <T>(read: Read<T>): T | string => (read.ok ? read.value : read.reason);

describe("a number", () => {
  it.each([
    ["59.95", "59.95"],
    ["59,95", "59.95"],
    ["1.234,56", "1234.56"],
    ["1,234.56", "1234.56"],
    ["1.234.567", "1234567"],
    ["1 234,5", "1234.5"],
    ["1\u00a0234\u202f567,50", "1234567.5"],
    ["1'234.50", "1234.5"],
    ["25,-", "25"],
    ["-12,50", "-12.5"],
    ["+7", "7"],
    ["0,125", "0.125"],
    ["1234.500", "1234.5"],
    ["007", "7"],
    ["-0,00", "0"],
    [",5", "0.5"],
  ])("%j is %s", (text, value) => expect(valueOf(readNumber(text, usual))).toBe(value));

  it.each(["1.234", "1,234", "12.000"])("%j can be two, until it is said which sign is the decimal one", (text) => {
    expect(valueOf(readNumber(text, usual))).toBe("ambiguous_number");
    const [whole, fraction] = text.split(/[.,]/) as [string, string];
    const mark = text.includes(".") ? "." : ",";
    const isZero = /^0+$/.test(fraction);
    expect(valueOf(readNumber(text, { decimal: mark }))).toBe(isZero ? whole : `${whole}.${fraction}`);
    expect(valueOf(readNumber(text, { decimal: mark === "." ? "," : "." }))).toBe(`${whole}${fraction}`);
  });

  it.each(["", "-", "abc", "1.2.3", "12,34,56", "1,2.3,4", "1e5", "0x10", "١٢", "1..5", "1.23.456,7", "9".repeat(16)])(
    "%j is none",
    (text) => expect(valueOf(readNumber(text, usual))).toBe("not_a_number"),
  );
});

describe("an amount", () => {
  it.each([
    ["€ 59,95", "59.95", "EUR"],
    ["59,95 €", "59.95", "EUR"],
    ["EUR 1.234,50", "1234.5", "EUR"],
    ["12.00 gbp", "12", "GBP"],
    ["$10.00", "10", undefined],
    ["€ 25,-", "25", "EUR"],
    ["-€ 5,00", "-5", "EUR"],
    ["5", "5", undefined],
  ])("%j is %s of %s", (text, amount, currency) =>
    expect(valueOf(readMoney(text, usual))).toEqual({ amount, currency }),
  );

  it.each([
    ["EUR 5 USD", "not_a_number"],
    ["5 ???", "not_a_currency"],
    ["5,12345", "not_a_number"],
    ["123456789012", "not_a_number"],
    ["free", "not_a_number"],
  ])("%j is none: %s", (text, reason) => expect(valueOf(readMoney(text, usual))).toBe(reason));

  it("names its currency as ISO does", () => {
    expect(["eur", "€", "£", "euro"].map((text) => valueOf(readCurrency(text)))).toEqual([
      "EUR",
      "EUR",
      "GBP",
      "not_a_currency",
    ]);
  });
});

describe("a time", () => {
  const at = (text: string, conventions: Partial<Conventions> = {}): string => {
    const read = readTime(text, { ...usual, ...conventions });
    return read.ok ? new Date(read.value).toISOString() : read.reason;
  };

  it.each([
    ["2026-11-22T20:15:00Z", "2026-11-22T20:15:00.000Z"],
    ["2026-11-22T20:15:00.1234+02:00", "2026-11-22T18:15:00.123Z"],
    ["2026-11-22 20:15", "2026-11-22T19:15:00.000Z"],
    ["2026-07-01 20:15:30", "2026-07-01T18:15:30.000Z"],
    ["2026-11-22", "2026-11-21T23:00:00.000Z"],
    ["2026/1/2 3:04", "2026-01-02T02:04:00.000Z"],
    ["22-11-2026 20:15", "2026-11-22T19:15:00.000Z"],
    ["3.4.2026", "2026-04-02T22:00:00.000Z"],
    ["22/11/2026", "2026-11-21T23:00:00.000Z"],
    ["11/22/2026 8:15 PM", "2026-11-22T19:15:00.000Z"],
    ["22-11-2026 12:05 am", "2026-11-21T23:05:00.000Z"],
    ["4/4/2026", "2026-04-03T22:00:00.000Z"],
    ["1795378500", "2026-11-22T20:15:00.000Z"],
    ["1795378500123", "2026-11-22T20:15:00.123Z"],
    ["2026-11-22 20:15:00 UTC", "2026-11-22T20:15:00.000Z"],
    ["2026-11-22 20.15", "2026-11-22T19:15:00.000Z"],
  ])("%j is %s in Amsterdam", (text, expected) => expect(at(text)).toBe(expected));

  it("with slashes can be two days, until it is said which comes first", () => {
    expect(at("03/04/2026")).toBe("ambiguous_time");
    expect(at("03/04/2026", { dates: "day_first" })).toBe("2026-04-02T22:00:00.000Z");
    expect(at("03/04/2026", { dates: "month_first" })).toBe("2026-03-03T23:00:00.000Z");
    expect(at("3-4-2026", { dates: "month_first" })).toBe("2026-03-03T23:00:00.000Z");
  });

  it.each([
    "",
    "tomorrow",
    "2026-02-30",
    "2026-13-01",
    "31-31-2026",
    "2026-11-22 25:00",
    "2026-11-22 13:00 PM",
    "22-11-26",
    "order 5",
    "2026-11-22 20:15 CET",
  ])("%j is none", (text) => expect(at(text)).toBe("not_a_time"));

  it("is one that clocks show, where they jump: in spring after the gap, in autumn the first of two", () => {
    expect(at("2026-03-29 02:30")).toBe("2026-03-29T01:30:00.000Z");
    expect(at("2026-10-25 02:30")).toBe("2026-10-25T00:30:00.000Z");
    expect(at("2026-10-25 03:30")).toBe("2026-10-25T02:30:00.000Z");
    expect(at("2026-04-05 01:45", { timezone: "Australia/Lord_Howe" })).toBe("2026-04-04T14:45:00.000Z");
  });

  it("is shown by the clocks of its zone, for every quarter of an hour of a year", () => {
    for (const timezone of ["Europe/Amsterdam", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]) {
      const shown = new Intl.DateTimeFormat("sv", { timeZone: timezone, dateStyle: "short", timeStyle: "medium" });
      for (let ms = Date.UTC(2026, 0, 1); ms < Date.UTC(2027, 0, 1); ms += 13 * 900_000) {
        const text = shown.format(ms);
        const found = instantOf(Date.parse(`${text.replace(" ", "T")}Z`), timezone);
        expect(shown.format(found)).toBe(text);
        expect(found).toBeLessThanOrEqual(ms);
      }
    }
  });

  it("of a birthday is a day, wherever it is read", () => {
    expect(valueOf(readDate("31-5-1980", usual))).toBe("1980-05-31");
    expect(valueOf(readDate("1980-05-31 00:00:00", usual))).toBe("1980-05-31");
  });
});

describe("who", () => {
  it.each([
    [" An.deVries@Example.COM ", "an.devries@example.com"],
    ["mailto:a@b.nl", "a@b.nl"],
    ["<a@b.nl>", "a@b.nl"],
  ])("address %j is %s", (text, address) => {
    const cell = readCell(text);
    expect(cell.ok && valueOf(readEmail(cell.value))).toBe(address);
  });
  it.each(["a@b", "a b@c.nl", "a@b.nl, c@d.nl", "a@@b.nl", "@b.nl", "n/a", `${"x".repeat(65)}@b.nl`])(
    "%j is no address",
    (text) => expect(valueOf(readEmail(text))).toBe("not_an_email"),
  );

  it.each([
    ["06-12345678", undefined, "0612345678"],
    ["06-12345678", "31", "+31612345678"],
    ["+31 (0)6 12 34 56 78", undefined, "+31612345678"],
    ["0031 612345678", undefined, "+31612345678"],
    ["tel:+31-6-12345678", "31", "+31612345678"],
    ["+44 20 7946 0958", "31", "+442079460958"],
  ])("number %j with the code %s is %s", (text, phoneCode, number) =>
    expect(valueOf(readPhone(text, { phoneCode }))).toBe(number),
  );
  it.each([
    ["12345", "not_a_phone"],
    ["unknown", "not_a_phone"],
    ["+1234567890123456", "not_a_phone"],
    ["3.16123E+10", "damaged_by_spreadsheet"],
  ])("%j is no number: %s", (text, reason) => expect(valueOf(readPhone(text, usual))).toBe(reason));

  it("is nobody where an id stands for none", () => {
    expect(["0", "guest", "NULL", "k-1"].map((text) => valueOf(readId(text)))).toEqual(["", "", "", "k-1"]);
    expect(valueOf(readId("1,23457E+11"))).toBe("damaged_by_spreadsheet");
    expect(valueOf(readId("x".repeat(201)))).toBe("too_long");
  });
});

it("a cell loses what spreadsheets put around it, and is refused where a sign of it was lost", () => {
  expect(valueOf(readCell('="00123"'))).toBe("00123");
  expect(valueOf(readCell("'0612345678"))).toBe("0612345678");
  expect(valueOf(readCell("'s-Hertogenbosch"))).toBe("'s-Hertogenbosch");
  expect(valueOf(readCell("Zo\ufffd"))).toBe("broken_character");
  expect(valueOf(readCell("a\u0000b"))).toBe("broken_character");
  expect(valueOf(readCell("two\nlines"))).toBe("two\nlines");
  expect(valueOf(readCell("x".repeat(8_193)))).toBe("too_long");
});

it("durations are seconds, and yes and no are words of two languages", () => {
  expect(
    ["125", "2:05", "1:02:05", "0:00", "125 sec", "62,5"].map((text) => valueOf(readDuration(text, usual))),
  ).toEqual([125, 125, 3725, 0, 125, 62.5]);
  expect(["-5", "2:5", "long"].map((text) => valueOf(readDuration(text, usual)))).toEqual(
    Array(3).fill("not_a_duration"),
  );
  expect(["Ja", "x", "1", "TRUE"].map((text) => valueOf(readBoolean(text)))).toEqual(Array(4).fill(true));
  expect(["nee", "0", "No"].map((text) => valueOf(readBoolean(text)))).toEqual(Array(3).fill(false));
  expect(valueOf(readBoolean("perhaps"))).toBe("not_yes_or_no");
});
