import { describeConsentLedger } from "./consent-ledger-contract.ts";
import { createMemoryConsentLedger } from "./memory-consent-ledger.ts";

describeConsentLedger("the ledger for tests", async () => ({
  open: async () => createMemoryConsentLedger(),
  isDurable: false,
  until: async () => {},
  dispose: async () => {},
}));
