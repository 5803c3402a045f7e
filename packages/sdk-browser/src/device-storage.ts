import { choiceSeconds } from "./limits.ts";

/** Undefined when it throws, as storage that is blocked or full does. */
export const attempt = <T>(run: () => T): T | undefined => {
  try {
    return run();
  } catch {
    // Undefined.
  }
};

let kept: { [key: string]: string } | undefined;
/** localStorage; where it is blocked, a memory that lasts as long as the page. Not before it is needed: the first access waits for the disk. */
const local = (): { [key: string]: string } => (kept ??= attempt(() => localStorage) ?? {});

/** "" when there is nothing. */
export const readLocal = (key: string): string => local()[key] ?? "";

/** Does nothing when storage is full. @param value "" removes. */
export const writeLocal = (key: string, value: string): void => {
  attempt(() => (value ? (local()[key] = value) : delete local()[key]));
};

export const localKeys = (prefix: string): string[] => Object.keys(local()).filter((key) => key.startsWith(prefix));

// Reading costs a round trip to another process: once a task is enough, and no other tab can be missed for longer.
let cookies: string | undefined;
const readCookies = (): string => {
  if (cookies === undefined) queueMicrotask(() => (cookies = undefined));
  return (cookies ??= document.cookie);
};

/** The cookie, or its mirror in localStorage: the cookie wins, because it is the one that subdomains share. */
export const recall = (name: string): string =>
  attempt(() => readCookies().match(`(^|; )${name}=([^;]*)`)?.[2]) ?? readLocal(name);

/** @param value "" removes. @param domain "" is this host alone. */
export const writeCookie = (name: string, value: string, domain: string): void => {
  cookies = undefined;
  const maxAge = value ? choiceSeconds : 0;
  const secure = location.protocol === "https:" ? ";secure" : "";
  attempt(() => (document.cookie = `${name}=${value};max-age=${maxAge};domain=${domain};path=/;samesite=lax${secure}`));
};

/** On this host and on every parent domain: the collector may have set it for the whole site. */
export const removeCookie = (name: string): void => {
  const labels = location.hostname.split(".");
  do writeCookie(name, "", labels.join("."));
  while (labels.shift());
};
