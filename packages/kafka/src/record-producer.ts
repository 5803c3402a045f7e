import type { LogRecord } from "@polder/core";

/** Brings records to the cluster with acks=all and sequence numbers, uncompressed. For one request at a time, and for none after one that failed or was given up. */
export interface RecordProducer {
  /** Resolves with the partitions whose records every in-sync replica has. */
  send(topic: string, records: readonly PlacedRecord[]): Promise<ReadonlySet<number>>;
  /** Frees its connections, whatever is under way. */
  close(): Promise<void>;
}

export interface PlacedRecord {
  record: LogRecord;
  partition: number;
}

export interface ProducerConnector {
  /** Until then the first connection takes longer. */
  loaded: Promise<unknown>;
  connect(): Promise<RecordProducer>;
}
