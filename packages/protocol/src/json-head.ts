import { cutToBytes, toWellFormed } from "./unicode.ts";

/**
 * The beginning of the value's JSON text, at most `maxBytes` of UTF-8. Stops as soon as it has enough: safe on values that are too deep
 * for `JSON.stringify`, whose recursion ends in a thrown error.
 */
export function jsonHead(value: unknown, maxBytes: number): string {
  const parts: string[] = [];
  let room = maxBytes;

  function put(text: string): void {
    parts.push(text);
    room -= text.length;
  }

  // Every level puts a bracket first, so the recursion is never deeper than `maxBytes`.
  function write(node: unknown): void {
    if (room <= 0) return;
    if (typeof node === "string") put(JSON.stringify(toWellFormed(node.slice(0, room))));
    else if (node === Infinity) put("1e999");
    else if (node === -Infinity) put("-1e999");
    else if (Array.isArray(node)) writeArray(node);
    else if (typeof node === "object" && node !== null) writeObject(node as { [key: string]: unknown });
    else put(JSON.stringify(node) ?? "null");
  }

  function writeArray(nodes: readonly unknown[]): void {
    put("[");
    for (let at = 0; at < nodes.length && room > 0; at++) {
      if (at > 0) put(",");
      write(nodes[at]);
    }
    put("]");
  }

  function writeObject(node: { [key: string]: unknown }): void {
    put("{");
    let isFirst = true;
    for (const key of Object.keys(node)) {
      if (room <= 0) break;
      if (!isFirst) put(",");
      isFirst = false;
      write(key);
      put(":");
      write(node[key]);
    }
    put("}");
  }

  write(value);
  return cutToBytes(parts.join(""), maxBytes);
}
