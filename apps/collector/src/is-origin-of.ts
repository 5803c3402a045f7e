import type { Site } from "@polder/core";

/** Whether pages of the origin may use the site's write keys. */
export const isOriginOf = ({ origins }: Site, origin: string): boolean =>
  origins.includes(origin) || origins.includes("*");
