import { createHash } from "node:crypto";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** By what an e-mail address is compared: SHA-256, in hex, of the address in small letters without space around it. Empty when there is none. */
export function emailHash(address: string): string {
  const plain = address.trim().toLowerCase();
  return plain === "" ? "" : sha256(plain);
}

/** By what a telephone number is compared: SHA-256, in hex, of its digits; a `+` or `00` before them is a `+`. Empty when there are no digits. */
export function phoneHash(number: string): string {
  const digits = number.replaceAll(/[^0-9]/g, "");
  if (digits === "") return "";
  if (number.trim().startsWith("+")) return sha256(`+${digits}`);
  return sha256(digits.startsWith("00") ? `+${digits.slice(2)}` : digits);
}
