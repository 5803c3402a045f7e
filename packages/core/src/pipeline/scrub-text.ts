/** Takes out of a text what nobody meant to send: card numbers, bank accounts, Dutch citizen numbers. Idempotent. */
export function scrubText(text: string): string {
  // Every kind needs nine digits; counting them is many times cheaper than looking for patterns.
  if (!hasDigits(text, 9)) return text;
  return scrubIbans(text).replace(numberCandidate, judgeNumber);
}

/** As {@link scrubText}, and e-mail addresses too: for URLs and what is copied from them. */
export function scrubUrlText(text: string): string {
  const withoutMail = text.includes("@") || /%40/.test(text) ? text.replace(mailAddress, "[email]") : text;
  return scrubText(withoutMail);
}

/** Whether a query parameter or a property of this name holds a secret or says who someone is. */
export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

const secretName =
  /^(?:key|code|sid|sig|pin|otp|cvc|cvv|cvc2|cvv2|pass|auth|jwt|tel|mail|user|username|iban|bsn|ssn|account|dob|birthdate|polder_link)$|token|passw|passphrase|pwd|secret|e-?mail|session_?(?:id|key)?$|sess(?:ion)?id|signature|credential|authori[sz]ation|api[_-]?key|private[_-]?key|phone|card[_-]?(?:number|no|nr)|credit[_-]?card|security[_-]?code/i;

// Bounded repeats: a hostile text must not make these quadratic.
const mailAddress = /[a-z0-9._%+-]{1,64}(?:@|%40)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}/gi;
const ibanStart = /(?<![a-z0-9])[a-z]{2}\d{2}/gi;
const ibanRun = /(?:[a-z0-9][ -]?){15,34}/iy;
// Not inside a word, a longer number, a decimal or after a plus (a phone number).
const numberCandidate = /(?<![a-z0-9+]|\d[.,])\d(?:[ .-]?\d){8,18}(?![a-z0-9]|[ -]\d|[.,]\d)/gi;

function hasDigits(text: string, wanted: number): boolean {
  let digits = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 48 && code <= 57 && ++digits === wanted) return true;
  }
  return false;
}

function scrubIbans(text: string): string {
  let clean = "";
  let done = 0;
  for (const { index } of text.matchAll(ibanStart)) {
    if (index < done) continue;
    const end = ibanEnd(text, index);
    if (end === undefined) continue;
    clean += `${text.slice(done, index)}[iban]`;
    done = end;
  }
  return clean + text.slice(done);
}

/** Where the account that starts at `start` ends. The words after it look like more of it, so each end of a word is tried. */
function ibanEnd(text: string, start: number): number | undefined {
  ibanRun.lastIndex = start;
  if (!ibanRun.test(text)) return undefined;
  for (let end = ibanRun.lastIndex; end >= start + 15; end--)
    if (!isAlphanumeric(text, end) && isAlphanumeric(text, end - 1) && isIban(text.slice(start, end))) return end;
  return undefined;
}

const isAlphanumeric = (text: string, at: number): boolean => /[a-z0-9]/i.test(text.charAt(at));

function judgeNumber(found: string): string {
  const digits = found.replace(/[ .-]/g, "");
  if (isCardNumber(digits)) return "[card]";
  if (digits.length === 9 && isCitizenNumber(digits)) return "[bsn]";
  return found;
}

/** Luhn, and a first digit that card networks use: without that every tenth time stamp is a card. */
function isCardNumber(digits: string): boolean {
  if (digits.length < 13 || digits.length > 19 || !/^[2-6]/.test(digits)) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    let digit = digits.charCodeAt(digits.length - 1 - i) - 48;
    if (i % 2 === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0;
}

/** The Dutch eleven-test: weights 9 to 2, and -1 for the last digit. */
function isCitizenNumber(digits: string): boolean {
  if (digits.length !== 9 || digits === "000000000") return false;
  let sum = -(digits.charCodeAt(8) - 48);
  for (let i = 0; i < 8; i++) sum += (9 - i) * (digits.charCodeAt(i) - 48);
  return sum % 11 === 0;
}

/** ISO 13616: the country and check digits moved to the end, letters as numbers, modulo 97 is 1. */
function isIban(text: string): boolean {
  const compact = text.replace(/[ -]/g, "").toUpperCase();
  if (compact.length < 15 || compact.length > 34) return false;
  let rest = 0;
  for (const character of compact.slice(4) + compact.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    rest = (value > 9 ? rest * 100 + value : rest * 10 + value) % 97;
  }
  return rest === 1;
}
