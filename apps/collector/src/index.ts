export { createCollector, type Collector, type CollectorDeps, type CollectorOptions } from "./create-collector.ts";
export { readBrowserBundle, sriOf, type BrowserBundle } from "./browser-bundle.ts";
export { readCountryTable } from "./country-table.ts";
export { readLinkSecret } from "./config.ts";
export { ConfigFileError, readConfigFile, watchConfigFile, type ConfigWatch } from "./config-file.ts";
export { createMessageId } from "./message-id.ts";
export { openConsentLedger, type OpenConsentLedgerOptions, type OpenedConsentLedger } from "./open-consent-ledger.ts";
export { createReplayJudge, type ReplayJudge, type ReplayVerdict } from "./replay-judge.ts";
