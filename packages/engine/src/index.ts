export { startEngine, type Engine, type EngineOptions } from "./engine.ts";
export { EngineError, type EngineErrorCode } from "./engine-error.ts";
export { type AnalystLimits } from "./config-files.ts";
export { type Credentials } from "./ask.ts";
export { type EngineLogger } from "./logger.ts";
