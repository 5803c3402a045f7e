export { readAudienceEveryMs } from "./audience-seconds.ts";
export { type AudienceTicker } from "./create-audience-ticker.ts";
export { createAudiences, leavingAudiencesFirst, type AudiencesOptions } from "./create-audiences.ts";
export { createConsentRecorder, type ConsentRecorder, type ConsentRecorderOptions } from "./create-consent-recorder.ts";
export { createEraser, type Eraser, type EraserOptions } from "./create-eraser.ts";
export { createRetainer, type Retainer, type RetainerOptions } from "./create-retainer.ts";
export { watchSettling } from "./watch-settling.ts";
export { createWithdrawer, type Withdrawer, type WithdrawerOptions } from "./create-withdrawer.ts";
export { createWorker, type Worker, type WorkerOptions } from "./create-worker.ts";
