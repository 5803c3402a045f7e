export type EngineErrorCode = "platform_unsupported" | "data_path_in_use" | "data_path_unusable" | "start_failed";

/** The engine cannot run here. The message says why and what to do, in words for the person at the terminal. */
export class EngineError extends Error {
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string) {
    super(message);
    this.name = "EngineError";
    this.code = code;
  }
}
