import { viewSelects, type MoreKeys, type ViewSource } from "./migrations/0003-materialized-views.ts";
import { weekAndClass } from "./migrations/0009-retention.ts";
import { consentStateSelect } from "./migrations/0012-people-consent.ts";
import { visitKeys } from "./migrations/0014-rights.ts";
import { atomEventColumns, atomEventSelect } from "./migrations/0015-profiles.ts";

/** What the view of each state adds to its question today, after all migrations. */
export const stateKeys = {
  atom: weekAndClass,
  profile_state: weekAndClass,
  trait_state: weekAndClass,
  session_state: visitKeys,
  audience_day: weekAndClass,
  consent_state: weekAndClass,
  atom_event: { columns: [], names: [] },
} as const satisfies { [table: string]: MoreKeys };

export type StateTable = keyof typeof stateKeys;

const columns: { readonly [table in StateTable]: string } = {
  atom: "site, key, atom, anonymous_id, user_id, first_seen",
  profile_state:
    "site, atom, first_seen, last_seen, events, page_views, clicks, sessions, orders, refunds, first_touch, last_touch, device, country",
  trait_state: "site, atom, name, last",
  session_state:
    "site, start_date, session_id, day, started_at, ended_at, events, page_views, clicks, orders, atom, entry_page, exit_page, touch, device, country",
  audience_day: "site, day, dimension, value, events, atoms",
  consent_state:
    "site, atom, measurement, profile, personalisation, prediction, ads, by_choice, by_key, by_law, since, device, user",
  atom_event: atomEventColumns,
};
const selects = {
  ...viewSelects,
  consent_state: consentStateSelect,
  atom_event: (_: MoreKeys, source: ViewSource) => atomEventSelect(source),
};

/** What is counted from events, as the views count it when rows are inserted: `INSERT INTO <table> <this>` makes it anew. */
export const stateInsert = (table: StateTable, source: ViewSource): string =>
  `(${[columns[table], ...stateKeys[table].names].join(", ")}) ${selects[table](stateKeys[table], source)}`;
