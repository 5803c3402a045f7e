import type { RenderedMigration } from "../migrations/render-migrations.ts";

/** In the order in which they are carried out where rows are there. */
export const allStatementsOf = ({ statements, fill, refill }: RenderedMigration): string[] => [
  ...statements,
  ...fill,
  ...(refill === undefined ? [] : [refill.countUndone, refill.removeUndone, refill.insert, ...refill.after]),
];
