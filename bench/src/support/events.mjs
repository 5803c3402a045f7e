import { createHash, randomBytes } from "node:crypto";

const consent = {
  v: 1,
  id: "c".repeat(22),
  purposes: {
    necessary: "granted",
    measurement: "granted",
    profile: "granted",
    personalisation: "granted",
    prediction: "denied",
    ads: "denied",
  },
  at: new Date().toISOString(),
  regime: "opt_in",
};
const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
export const browserHeaders = {
  "content-type": "text/plain;charset=UTF-8",
  origin: "http://shop.test",
  "user-agent": agent,
};

/** As long as an id of our own script, and the same in every process, so that none has to keep a million of them. */
export const visitorId = (n) => createHash("md5").update(String(n)).digest("base64url");

/** Requests as our own script sends them: `perRequest` events of one visitor, eight properties each, ids new in every request. */
export function requestBodies({ writeKey, count, perRequest, visitors = 2000 }) {
  return Array.from({ length: count }, (_, i) => {
    const at = new Date(Date.now() - 500).toISOString();
    const anonymousId = `visitor${String(i % visitors).padStart(15, "0")}`;
    return JSON.stringify({
      writeKey,
      sentAt: new Date().toISOString(),
      context: {
        consent,
        library: { name: "polder.js", version: "0.1.0" },
        locale: "nl-NL",
        timezone: "Europe/Amsterdam",
        session: { id: anonymousId.slice(0, 16), start: Date.now() - 60_000, seq: i },
        page: {
          url: `http://shop.test/product/${i % 300}?utm_source=letter`,
          title: `Product ${i % 300}`,
          referrer: "http://shop.test/",
        },
      },
      batch: Array.from({ length: perRequest }, (__, j) => ({
        type: "track",
        event: ["Product Viewed", "Product Added", "Clicked"][(i + j) % 3],
        messageId: randomBytes(16).toString("base64url"),
        anonymousId,
        timestamp: at,
        properties: {
          product_id: `p${i % 300}`,
          name: `Tulip ${i % 300}`,
          category: "bulbs",
          price: 4.5 + (i % 50),
          currency: "EUR",
          quantity: 1 + (j % 3),
          position: j,
          list: "spring",
        },
      })),
    });
  });
}
