export { buildConsent, buildEvent, buildPage, builtAt } from "./builders/build-event.ts";
export { buildSite } from "./builders/build-site.ts";
export { emptyTables } from "./empty-tables.ts";
export { consentStamp, jsonObject, validEvent } from "./arbitraries/valid-event.ts";
export { hostileEvent, hostileJson, hostileRequest } from "./arbitraries/hostile-json.ts";
export { checkAsyncProperty, checkProperty, seed } from "./seeded.ts";
export { generatePeople, type GeneratedPeople, type GenerateOptions } from "./people/generate-people.ts";
export {
  defaultRules,
  type ContactKind,
  type IdentityRules,
  type PersonDecision,
  type PersonEdge,
  type PersonEvent,
} from "./people/person-event.ts";
export {
  consentTo,
  dayOf,
  funnel,
  membersOf,
  retention,
  revenueOf,
  uniquePeople,
  uniquePeopleByDay,
} from "./people/reference-answers.ts";
export { isFlagged, readHistory, type HistoryEntry, type ReferenceModel } from "./people/reference-model.ts";
export { contactsOf, groupBy, manualEdge, nodesOf, type AtomEvent } from "./people/resolve-people.ts";
