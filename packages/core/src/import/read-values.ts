import { limits } from "@polder/protocol";
import { isUsableId } from "../pipeline/identity.ts";
import { instantOf } from "./local-time.ts";

/** Why a cell cannot be read. The sentence says what to do and never repeats the cell. */
export type CellFault = { ok: false; reason: CellReason; detail: string };
export type CellReason =
  | "not_an_id"
  | "not_an_email"
  | "not_a_phone"
  | "not_a_time"
  | "ambiguous_time"
  | "time_out_of_range"
  | "not_a_number"
  | "ambiguous_number"
  | "not_a_currency"
  | "not_a_duration"
  | "not_yes_or_no"
  | "too_long"
  | "broken_character"
  | "damaged_by_spreadsheet";

export type Read<T> = { ok: true; value: T } | CellFault;

export interface Conventions {
  timezone: string;
  dates: "auto" | "day_first" | "month_first";
  decimal: "auto" | "," | ".";
  phoneCode: string | undefined;
}

const fault = (reason: CellReason, detail: string): CellFault => ({ ok: false, reason, detail });
const read = <T>(value: T): Read<T> => ({ ok: true, value });

const maxTextLength = 8_192;
const damaged = /^[+-]?\d(?:[.,]\d+)?E\+?\d+$/i;
// A line break or a tab may be in a text; anything else that is not printed is a sign of another encoding.
const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/; // oxlint-disable-line no-control-regex

/** A cell as all readers take it: trimmed, without what spreadsheets put around text that looks like a number. Empty: there is nothing. */
export function readCell(cell: string): Read<string> {
  const text = cell.trim();
  if (text.includes("\ufffd") || control.test(text))
    return fault(
      "broken_character",
      "A character of it cannot be read: say how the file is written, with `encoding` in the mapping.",
    );
  if (text.length > maxTextLength) return fault("too_long", `A cell holds at most ${maxTextLength} characters.`);
  const formula = /^="(.*)"$/.exec(text);
  return read((formula?.[1] ?? text.replace(/^'(?=[\d+])/, "")).trim());
}

/** Empty: what stands for nobody, as `0` and `guest`. */
export function readId(text: string): Read<string> {
  if (damaged.test(text))
    return fault(
      "damaged_by_spreadsheet",
      "A spreadsheet has rounded this number: export the file again, with the column as text.",
    );
  if (text.length > limits.maxIdLength)
    return fault("too_long", `An id holds at most ${limits.maxIdLength} characters.`);
  return read(isUsableId(text) ? text : "");
}

/** In small letters: as addresses are compared. */
export function readEmail(text: string): Read<string> {
  const address = text
    .replace(/^mailto:/i, "")
    .replace(/^<(.*)>$/, "$1")
    .toLowerCase();
  return address.length <= 254 && /^[^\s@<>,;:"]{1,64}@[^\s@<>,;:"]+\.[^\s@<>,;:".]{2,63}$/.test(address)
    ? read(address)
    : fault("not_an_email", "Write one e-mail address, as name@example.com.");
}

/** Digits, with a + before a country code. */
export function readPhone(text: string, { phoneCode }: Pick<Conventions, "phoneCode">): Read<string> {
  if (damaged.test(text))
    return fault(
      "damaged_by_spreadsheet",
      "A spreadsheet has rounded this number: export the file again, with the column as text.",
    );
  const bare = text
    .replace(/^tel:/i, "")
    .replace(/\(0\)/, "")
    .replaceAll(/[\s().\-/\u2010-\u2015]/g, "");
  const international = bare.replace(/^00(?=[1-9])/, "+");
  const number =
    phoneCode !== undefined && /^0[1-9]/.test(international) ? `+${phoneCode}${international.slice(1)}` : international;
  return /^\+?\d{6,15}$/.test(number)
    ? read(number)
    : fault("not_a_phone", "Write one phone number of 6 to 15 digits, as +31 6 12345678.");
}

const iso = /^(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ]+(.+))?$/i;
const dayOrMonthFirst = /^(\d{1,2})([-./])(\d{1,2})\2(\d{4})(?:[T ,]+(.+))?$/i;
const clock =
  /^(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,](\d{1,9}))?)?\s*([ap])?\.?m?\.?\s*(?:(Z|UTC|GMT)|([+-])(\d{2}):?(\d{2})?)?$/i;

interface Day {
  year: number;
  month: number;
  day: number;
  rest: string | undefined;
}

const timeWords = "Write it as 2026-11-22 20:15, with a zone or as the clocks of the site show it.";

function readDay(text: string, dates: Conventions["dates"]): Read<Day> {
  const first = iso.exec(text);
  if (first !== null) return dayOf(Number(first[1]), Number(first[2]), Number(first[3]), first[4]);
  const second = dayOrMonthFirst.exec(text);
  if (second === null) return fault("not_a_time", timeWords);
  const [one, other, year] = [Number(second[1]), Number(second[3]), Number(second[4])];
  const isDayFirst =
    dates === "day_first" || (dates === "auto" && (second[2] !== "/" || one > 12 || other > 12) && other <= 12);
  // With slashes both are usual.
  if (dates === "auto" && second[2] === "/" && one <= 12 && other <= 12 && one !== other)
    return fault(
      "ambiguous_time",
      "This can be two days: say which with `dates` in the mapping, day_first or month_first.",
    );
  return isDayFirst ? dayOf(year, other, one, second[5]) : dayOf(year, one, other, second[5]);
}

function dayOf(year: number, month: number, day: number, rest: string | undefined): Read<Day> {
  const date = new Date(Date.UTC(year, month - 1, day));
  const isReal = date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return isReal ? read({ year, month, day, rest }) : fault("not_a_time", `There is no such day. ${timeWords}`);
}

/** Milliseconds since 1970. A day without a time begins when it does in the zone. */
export function readTime(text: string, { timezone, dates }: Pick<Conventions, "timezone" | "dates">): Read<number> {
  if (/^\d{10}$/.test(text)) return read(Number(text) * 1000);
  if (/^\d{13}$/.test(text)) return read(Number(text));
  const date = readDay(text, dates);
  if (!date.ok) return date;
  const { year, month, day, rest } = date.value;
  const midnight = Date.UTC(year, month - 1, day);
  if (rest === undefined) return read(instantOf(midnight, timezone));
  const parts = clock.exec(rest.trim());
  if (parts === null) return fault("not_a_time", timeWords);
  const [, hourText, minute, second = "0", fraction = "", half, utc, sign, zoneHours, zoneMinutes = "0"] = parts;
  let hour = Number(hourText);
  if (half !== undefined) {
    if (hour < 1 || hour > 12) return fault("not_a_time", timeWords);
    hour = (hour % 12) + (half.toLowerCase() === "p" ? 12 : 0);
  }
  if (hour > 23 || Number(minute) > 59 || Number(second) > 59) return fault("not_a_time", timeWords);
  const shown =
    midnight +
    ((hour * 60 + Number(minute)) * 60 + Number(second)) * 1000 +
    Number(fraction.slice(0, 3).padEnd(3, "0"));
  if (utc !== undefined) return read(shown);
  if (sign === undefined) return read(instantOf(shown, timezone));
  const offsetMs = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000;
  return read(sign === "+" ? shown - offsetMs : shown + offsetMs);
}

/** A day as 1980-05-31: the same wherever it is read. */
export function readDate(text: string, { dates }: Pick<Conventions, "dates">): Read<string> {
  const date = readDay(text, dates);
  if (!date.ok) return date;
  const { year, month, day } = date.value;
  return read(`${year}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`);
}

/** Decimal text with a point, without zeros that say nothing. */
export function readNumber(text: string, { decimal }: Pick<Conventions, "decimal">): Read<string> {
  const wrong = fault("not_a_number", "Write a number, as 1234.56 or 1.234,56.");
  const bare = text
    .replaceAll(/[\s\u00a0\u2009\u202f'’]/g, "")
    .replace(/[.,]-{1,2}$/, "")
    .replace(/^\u2212/, "-");
  const parts = /^([+-]?)([\d.,]*\d)$/.exec(bare);
  if (parts === null) return wrong;
  const [, sign, digits] = parts as unknown as [string, string, string];
  const mark = decimalMark(digits, decimal);
  if (mark === "ambiguous")
    return fault(
      "ambiguous_number",
      "This can be two numbers: say which sign is the decimal one with `decimal` in the mapping.",
    );
  const [whole = "", fraction = "", ...more] = mark === "" ? [digits] : digits.split(mark);
  if (more.length > 0 || !/^\d*$/.test(fraction)) return wrong;
  if (!/^(?:\d*|\d{1,3}(?:\.\d{3})+|\d{1,3}(?:,\d{3})+)$/.test(whole)) return wrong;
  const plain = whole.replaceAll(/[.,]/g, "").replace(/^0+(?=\d)/, "") || "0";
  if (plain.length > 15) return wrong;
  const end = fraction.replace(/0+$/, "");
  const value = end === "" ? plain : `${plain}.${end}`;
  return read(sign === "-" && value !== "0" ? `-${value}` : value);
}

/** The sign before the decimals; "" when there are none. */
function decimalMark(digits: string, stated: Conventions["decimal"]): "." | "," | "" | "ambiguous" {
  if (stated !== "auto") return digits.includes(stated) ? stated : "";
  const [points, commas] = [digits.split(".").length - 1, digits.split(",").length - 1];
  if (points > 0 && commas > 0) return digits.lastIndexOf(".") > digits.lastIndexOf(",") ? "." : ",";
  const mark = points > 0 ? "." : ",";
  const count = points + commas;
  if (count === 0 || count > 1) return "";
  const [whole = "", fraction = ""] = digits.split(mark);
  // 1.234 is a thousand to some and little more than one to others. 0.125 and 1234.500 cannot be in thousands.
  const canBeThousands = fraction.length === 3 && /^[1-9]\d{0,2}$/.test(whole);
  return canBeThousands ? "ambiguous" : mark;
}

const signs: { readonly [sign: string]: string } = { "€": "EUR", "£": "GBP" };

export function readCurrency(text: string): Read<string> {
  const code = signs[text] ?? text.toUpperCase();
  return /^[A-Z]{3}$/.test(code)
    ? read(code)
    : fault("not_a_currency", "Write an ISO 4217 code of three letters, as EUR.");
}

export interface Money {
  /** Decimal text, four decimals at most. */
  amount: string;
  /** As the cell states it. */
  currency: string | undefined;
}

/** An amount, with its currency before or after it where it states one. */
export function readMoney(text: string, conventions: Pick<Conventions, "decimal">): Read<Money> {
  const parts =
    /^(-?)\s*([^\d\s.,+'’-]{0,4})\s*([-+]?[\d.,\s\u00a0\u2009\u202f'’]*\d(?:[.,]-{1,2})?)\s*([^\d\s.,+'’-]{0,4})$/.exec(
      text,
    );
  if (parts === null) return fault("not_a_number", "Write an amount, as 1234.56, 1.234,56 or € 59,95.");
  const [, minus, before = "", digits = "", after = ""] = parts;
  if (before !== "" && after !== "") return fault("not_a_number", "Write an amount with one currency.");
  const number = readNumber(`${minus}${digits.trim()}`, conventions);
  if (!number.ok) return number;
  const [whole = "", fraction = ""] = number.value.split(".");
  if (fraction.length > 4 || whole.replace("-", "").length > 11)
    return fault("not_a_number", "An amount has at most 11 digits and 4 decimals.");
  const sign = before || after;
  // Many currencies are written with it: it says nothing by itself.
  if (sign === "" || sign === "$") return read({ amount: number.value, currency: undefined });
  const currency = readCurrency(sign);
  return currency.ok ? read({ amount: number.value, currency: currency.value }) : currency;
}

/** Seconds. */
export function readDuration(text: string, conventions: Pick<Conventions, "decimal">): Read<number> {
  const parts = /^(?:(\d{1,4}):)?(\d{1,4}):(\d{2})$/.exec(text);
  if (parts !== null) return read((Number(parts[1] ?? 0) * 60 + Number(parts[2])) * 60 + Number(parts[3]));
  const seconds = readNumber(text.replace(/\s*s(?:ec(?:onds?|onden)?)?\.?$/i, ""), conventions);
  return seconds.ok && !seconds.value.startsWith("-")
    ? read(Number(seconds.value))
    : fault("not_a_duration", "Write seconds, or minutes and seconds as 12:05, or 1:12:05.");
}

const yes = new Set(["true", "yes", "y", "ja", "j", "1", "x", "waar", "on", "aan"]);
const no = new Set(["false", "no", "n", "nee", "0", "onwaar", "off", "uit"]);

export function readBoolean(text: string): Read<boolean> {
  const word = text.toLowerCase();
  if (yes.has(word)) return read(true);
  return no.has(word) ? read(false) : fault("not_yes_or_no", "Write yes or no (ja or nee, true or false, 1 or 0).");
}
