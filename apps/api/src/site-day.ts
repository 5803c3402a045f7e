/** The day of a site's zone at a moment: `2026-11-22`. */
export const dayIn = (timezone: string, moment: number): string =>
  new Intl.DateTimeFormat("en-CA", { timeZone: timezone, year: "numeric", month: "2-digit", day: "2-digit" }).format(
    moment,
  );
