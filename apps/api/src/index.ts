export { switchOnAudiences } from "./audiences/audience-routes.ts";
export { createApi, type Api, type ApiOptions, type ApiSite } from "./create-api.ts";
export { createSqlProxy, type SqlProxy, type SqlProxyLimits, type SqlProxyOptions } from "./sql/create-sql-proxy.ts";
