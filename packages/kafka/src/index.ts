export { createKafkaLog, type KafkaLog, type KafkaLogOptions } from "./event-log.ts";
export { kafkaFromEnv, kafkaUsage, type KafkaSettings } from "./options-from-env.ts";
export {
  createSharedConsentLedger,
  type SharedConsentLedger,
  type SharedConsentLedgerOptions,
} from "./consent-ledger.ts";
