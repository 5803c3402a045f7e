import { compatibilityPartitioner } from "@platformatic/kafka";
import fc from "fast-check";
import kafkajs from "kafkajs";
import { describe, expect, it } from "vitest";
import { createPartitioner } from "./partitioner.ts";

const seed = 20_261_123;
const key = fc.oneof(fc.string({ unit: "grapheme", maxLength: 60 }), fc.string({ unit: "binary", maxLength: 60 }));
const count = fc.integer({ min: 1, max: 64 });

describe("the partition of a key", () => {
  it("is where Kafka's Java client puts it", () => {
    // What its own tests expect of murmur2.
    const hashes = {
      21: -973_932_308,
      abc: 479_470_107,
      foobar: -790_332_482,
      "a-little-bit-long-string": -985_981_536,
      "a-little-bit-longer-string": -1_486_304_829,
      lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58_897_971,
    };
    for (const [text, hash] of Object.entries(hashes)) {
      expect(createPartitioner(64)(text)).toBe((hash & 0x7fffffff) % 64);
      expect(createPartitioner(23)(text)).toBe((hash & 0x7fffffff) % 23);
    }
  });

  it(`is where either driver would put it (seed ${seed})`, () => {
    const ofKafkajs = kafkajs.Partitioners.DefaultPartitioner();
    fc.assert(
      fc.property(key, count, (text, partitions) => {
        const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
          partitionId,
          leader: 0,
          partitionErrorCode: 0,
          replicas: [],
          isr: [],
        }));
        const partition = createPartitioner(partitions)(text);
        expect(ofKafkajs({ topic: "", partitionMetadata, message: { key: text, value: null } })).toBe(partition);
        expect(compatibilityPartitioner({ topic: "" }, Buffer.from(text)) % partitions).toBe(partition);
      }),
      { seed, numRuns: 500 },
    );
  });
});
