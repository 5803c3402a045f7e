import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";

/** How long a visitor may take from one site to the other. */
export const linkLifetimeMs = 120_000;

/** The only visit for which a token counts. */
export interface LinkBinding {
  siteId: string;
  /** Host name of the page that the link leads to. */
  toHost: string;
  /** What both pages' requests say of the browser. */
  userAgent: string;
  acceptLanguage: string;
}

const [algorithm, ivBytes, tagBytes] = ["aes-256-gcm", 12, 16] as const;

/**
 * Tokens that carry a device's id from one page to another. Sealed rather than only signed: they pass through addresses, and so through histories
 * and logs, which must not learn the id. The seal is checked in constant time.
 */
export function createLinkTokens({ secret, now }: { secret: string; now: () => number }) {
  const key = Buffer.from(hkdfSync("sha256", secret, "", "polder link", 32));
  const associated = ({ siteId, toHost, userAgent, acceptLanguage }: LinkBinding): Buffer =>
    createHash("sha256")
      .update(JSON.stringify([siteId, toHost, userAgent, acceptLanguage]))
      .digest();

  return {
    seal(deviceId: string, binding: LinkBinding): string {
      const iv = randomBytes(ivBytes);
      const cipher = createCipheriv(algorithm, key, iv).setAAD(associated(binding));
      const text = `${(now() + linkLifetimeMs).toString(36)} ${deviceId}`;
      const sealed = Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
      return sealed.toString("base64url");
    },
    /** The device's id; undefined when the token is too old, of another visit, or not ours. */
    open(token: string, binding: LinkBinding): string | undefined {
      const sealed = Buffer.from(token, "base64url");
      if (sealed.length <= ivBytes + tagBytes) return undefined;
      const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, ivBytes))
        .setAAD(associated(binding))
        .setAuthTag(sealed.subarray(-tagBytes));
      try {
        const text = decipher.update(sealed.subarray(ivBytes, -tagBytes), undefined, "utf8") + decipher.final("utf8");
        const space = text.indexOf(" ");
        return parseInt(text.slice(0, space), 36) >= now() ? text.slice(space + 1) : undefined;
      } catch {
        return undefined;
      }
    },
  };
}
