export { buildConsent, buildEvent, buildPage, builtAt } from "./builders/build-event.ts";
export { buildSite } from "./builders/build-site.ts";
export { consentStamp, jsonObject, validEvent } from "./arbitraries/valid-event.ts";
export { hostileEvent, hostileJson, hostileRequest } from "./arbitraries/hostile-json.ts";
export { checkAsyncProperty, checkProperty, seed } from "./seeded.ts";
