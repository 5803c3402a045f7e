export { createLmdbLog, type LmdbLogOptions } from "./event-log.ts";
