export { findEngine, startEngine, type Engine, type EngineOptions } from "./engine.ts";
export { EngineError, type EngineErrorCode } from "./engine-error.ts";
export { type AnalystDatabase, type AnalystLimits, type AnalystTable } from "./config-files.ts";
export { type Credentials } from "./ask.ts";
export { type EngineLogger } from "./logger.ts";
