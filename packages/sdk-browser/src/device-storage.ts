const attempt = <T>(run: () => T): T | undefined => {
  try {
    return run();
  } catch {
    return undefined;
  }
};

/** localStorage; where it is blocked, a memory that lasts as long as the page. */
const local: { [key: string]: string } = attempt(() => localStorage) ?? {};

/** "" when there is nothing. */
export const readLocal = (key: string): string => local[key] ?? "";

/** Does nothing when storage is full. @param value "" removes. */
export const writeLocal = (key: string, value: string): void => {
  attempt(() => (local[key] = value));
  if (!value) delete local[key];
};

export const localKeys = (prefix: string): string[] => Object.keys(local).filter((key) => key.startsWith(prefix));

// Reading costs a round trip to another process: once a task is enough, and no other tab can be missed for longer.
let cookies: string | undefined;
const readCookies = (): string => {
  if (cookies === undefined) queueMicrotask(() => (cookies = undefined));
  return (cookies ??= document.cookie);
};

/** The cookie, or its mirror in localStorage: the cookie wins, because it is the one that subdomains share. */
export const recall = (name: string): string =>
  attempt(() => readCookies().match(`(?:^|; )${name}=([^;]*)`)?.[1]) ?? readLocal(name);

/** @param domain "" is this host alone. */
export const writeCookie = (name: string, value: string, maxAgeSeconds: number, domain: string): void => {
  const secure = location.protocol === "https:" ? ";secure" : "";
  cookies = undefined;
  attempt(
    () => (document.cookie = `${name}=${value};max-age=${maxAgeSeconds};domain=${domain};path=/;samesite=lax${secure}`),
  );
};

/** On this host and on every parent domain: the collector may have set it for the whole site. */
export const removeCookie = (name: string): void => {
  for (let domain = `.${location.hostname}`; domain; domain = domain.replace(/^\.?[^.]*/, "")) {
    writeCookie(name, "", 0, domain.slice(1));
  }
  writeCookie(name, "", 0, "");
};
