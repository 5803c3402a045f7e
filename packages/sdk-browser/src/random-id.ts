/** At least 128 random bits as 22 characters of base64url, the two signs made one. Not `randomUUID`: that does not exist on plain http pages. */
export const randomId = (): string =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(17))))
    .slice(0, 22)
    .replace(/\W/g, "_");
