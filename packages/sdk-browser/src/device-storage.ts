import { choiceSeconds } from "./limits.ts";

/** Undefined when it throws, as storage that is blocked or full does. */
export const attempt = <T>(run: () => T): T | undefined => {
  try {
    return run();
  } catch {
    // Undefined.
  }
};

/** What localStorage does not take, because it is blocked or full: lasts as long as the page. */
const memory: { [key: string]: string } = {};
let kept: { [key: string]: string } | undefined;
/** Not before it is needed: the first access waits for the disk. */
const local = (): { [key: string]: string } => (kept ??= attempt(() => localStorage) ?? memory);

/** "" when there is nothing. */
export const readLocal = (key: string): string => memory[key] ?? local()[key] ?? "";

/** @param value "" removes. */
export const writeLocal = (key: string, value: string): void => {
  delete memory[key];
  try {
    if (value) local()[key] = value;
    else delete local()[key];
  } catch {
    memory[key] = value;
  }
};

export const localKeys = (prefix: string): string[] =>
  Object.keys({ ...local(), ...memory }).filter((key) => key.startsWith(prefix));

// Reading costs a round trip to another process: once a task is enough, and no other tab can be missed for longer.
let cookies: string | undefined;
const readCookies = (): string => {
  if (cookies === undefined) queueMicrotask(() => (cookies = undefined));
  return (cookies ??= document.cookie);
};

export const readCookie = (name: string): string | undefined =>
  attempt(() => readCookies().match(`(^|; )${name}=([^;]*)`)?.[2]);

/** The cookie, or its mirror in localStorage: the cookie wins, because it is the one that subdomains share. */
export const recall = (name: string): string => readCookie(name) ?? readLocal(name);

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
