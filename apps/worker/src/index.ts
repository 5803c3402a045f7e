export { createConsentRecorder, type ConsentRecorder, type ConsentRecorderOptions } from "./create-consent-recorder.ts";
export { createRetainer, type Retainer, type RetainerOptions } from "./create-retainer.ts";
export { createWithdrawer, type Withdrawer, type WithdrawerOptions } from "./create-withdrawer.ts";
export { createWorker, type Worker, type WorkerOptions } from "./create-worker.ts";
