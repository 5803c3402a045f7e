export { startPolder, type PolderOptions, type RunningPolder } from "./start-polder.ts";
export { type Part, type Ports, type Settings } from "./settings.ts";
