export { createLoader, type Loader, type LoaderOptions, type LoaderStatus } from "./create-loader.ts";
export { inTime } from "./in-time.ts";
