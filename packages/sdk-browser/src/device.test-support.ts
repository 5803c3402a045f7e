import { vi } from "vitest";

/** A device with an address and cookies, as far as our modules look at one. Domains of cookies are ignored. */
export function stubDevice(): { cookies: Map<string, string>; local: { [key: string]: string } } {
  const cookies = new Map<string, string>();
  const local: { [key: string]: string } = {};
  vi.stubGlobal("location", { protocol: "https:", hostname: "www.shop.example" });
  vi.stubGlobal("localStorage", local);
  vi.stubGlobal("document", {
    get cookie() {
      return [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    },
    set cookie(text: string) {
      const [, name = "", value = ""] = /^([^=]*)=([^;]*)/.exec(text) ?? [];
      if (text.includes("max-age=0")) cookies.delete(name);
      else cookies.set(name, value);
    },
  });
  return { cookies, local };
}
