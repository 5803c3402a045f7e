import type { BrowserContext, Page } from "@playwright/test";

/** What another browser, another version or a setting of the visitor takes away. */
export type Feature =
  | "localStorage" // throws, as where site data is blocked
  | "indexedDB" // is not there
  | "an indexedDB that answers" // opening calls nothing back, as in some versions of WebKit
  | "an indexedDB that opens" // refused, as in private windows of older Firefox
  | "cookies" // reading is empty, writing does nothing
  | "navigator.locks"
  | "navigation"
  | "AbortSignal.timeout"
  | "fetch keepalive" // ignored, as by Firefox before 133
  | "crypto.randomUUID"
  | "crypto.subtle"
  | "requestIdleCallback"
  | "navigator.sendBeacon"
  | "fetchLater";

/** In every page and frame from now on, before any script runs. */
export const withoutFeatures = (where: Page | BrowserContext, features: readonly Feature[]): Promise<unknown> =>
  where.addInitScript((names) => {
    const replace = (target: object, name: string, value?: unknown): void => {
      Object.defineProperty(target, name, { value, configurable: true, writable: true });
    };
    const removals: { [feature: string]: () => void } = {
      localStorage: () =>
        Object.defineProperty(window, "localStorage", {
          get: () => {
            throw new DOMException("Access is denied for this document.", "SecurityError");
          },
        }),
      indexedDB: () => replace(window, "indexedDB"),
      "an indexedDB that answers": () => replace(IDBFactory.prototype, "open", () => new EventTarget()),
      "an indexedDB that opens": () =>
        replace(IDBFactory.prototype, "open", () => {
          const request = new EventTarget() as IDBOpenDBRequest;
          Object.assign(request, { error: new DOMException("A mutation was refused.", "InvalidStateError") });
          queueMicrotask(() => request.onerror?.(new Event("error")));
          return request;
        }),
      cookies: () => Object.defineProperty(document, "cookie", { get: () => "", set: () => {} }),
      "navigator.locks": () => replace(navigator, "locks"),
      navigation: () => replace(window, "navigation"),
      "AbortSignal.timeout": () => replace(AbortSignal, "timeout"),
      "fetch keepalive": () => {
        const original = window.fetch;
        replace(window, "fetch", (input: RequestInfo, init?: RequestInit) =>
          original(input, { ...init, keepalive: false }),
        );
      },
      "crypto.randomUUID": () => replace(crypto, "randomUUID"),
      "crypto.subtle": () => replace(crypto, "subtle"),
      requestIdleCallback: () => replace(window, "requestIdleCallback"),
      "navigator.sendBeacon": () => replace(navigator, "sendBeacon"),
      fetchLater: () => replace(window, "fetchLater"),
    };
    for (const name of names) removals[name]!();
  }, features);
