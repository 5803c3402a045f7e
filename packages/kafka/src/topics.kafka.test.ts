import { randomUUID } from "node:crypto";
import { LogMisconfiguredError, topics } from "@polder/core";
import kafkajs, { type Admin, type ITopicConfig } from "kafkajs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { createKafkaLog, type KafkaLog, type KafkaLogOptions } from "./event-log.ts";
import { compactedKeptMs } from "./topics.ts";

const brokers = process.env.KAFKA_BROKERS?.split(",");
const logger = { info() {}, warn() {}, error() {} };

describe.skipIf(!brokers)(brokers ? "topics at the start" : "skipped, KAFKA_BROKERS is not set: topics", () => {
  let admin: Admin;
  let topicPrefix: string;
  let opened: KafkaLog[] = [];

  const open = (options: Partial<KafkaLogOptions> = {}) => {
    const log = createKafkaLog({
      brokers: brokers!,
      clientId: "polder-test",
      partitions: 3,
      replicationFactor: 1,
      createTopics: true,
      topicPrefix,
      appendTimeoutMs: 30_000,
      logger,
      ...options,
    });
    opened.push(log);
    return log;
  };
  const refusal = async (log: KafkaLog) => {
    const error: unknown = await log.prepareTopics().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LogMisconfiguredError);
    return (error as Error).message;
  };
  const make = async (config: Partial<ITopicConfig>) => {
    const wanted = topics.map((name) => ({
      topic: `${topicPrefix}${name}`,
      numPartitions: 3,
      replicationFactor: 1,
      ...config,
    }));
    // kafkajs' own waiting gives up where a broker has not heard of them yet.
    await admin.createTopics({ topics: wanted, waitForLeaders: false });
    await vi.waitFor(() => admin.fetchTopicMetadata({ topics: wanted.map(({ topic }) => topic) }), {
      timeout: 120_000,
    });
  };

  beforeAll(async () => {
    admin = new kafkajs.Kafka({ brokers: brokers!, logLevel: kafkajs.logLevel.NOTHING }).admin();
    await admin.connect();
  });
  afterAll(() => admin.disconnect());
  beforeEach(() => {
    topicPrefix = `topics-${randomUUID()}.`;
  });
  afterEach(async () => {
    await Promise.all(opened.map((log) => log.close()));
    opened = [];
  });

  const configOf = async (name: string) => {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: `${topicPrefix}${name}` }],
    });
    return new Map(resources[0]!.configEntries.map(({ configName, configValue }) => [configName, configValue]));
  };

  it("makes them when allowed, also when two processes start at once, and finds them the next time", async () => {
    await Promise.all([open().prepareTopics(), open().prepareTopics()]);
    const metadata = await admin.fetchTopicMetadata({ topics: [`${topicPrefix}polder.events`] });
    expect(metadata.topics[0]!.partitions).toHaveLength(3);
    const again = open({ createTopics: false });
    await again.prepareTopics();
    expect(await again.partitionCount("polder.rejected")).toBe(3);
    expect((await configOf("polder.events")).get("cleanup.policy")).toBe("delete");
    const consent = await configOf("polder.consent");
    expect(consent.get("cleanup.policy")).toBe("compact,delete");
    expect(Number(consent.get("retention.ms"))).toBe(compactedKeptMs);
  });

  it("says what to make when they are missing and may not be made", async () => {
    const message = await refusal(open({ createTopics: false }));
    expect(message).toContain(
      `no topic ${topicPrefix}polder.events, ${topicPrefix}polder.rejected, ${topicPrefix}polder.consent`,
    );
    expect(message).toContain(`${topicPrefix}polder.consent with cleanup.policy compact,delete`);
    expect(message).toContain("3 partitions, replication factor 1 and min.insync.replicas 1");
    expect(await admin.listTopics()).not.toContain(`${topicPrefix}polder.events`);
  });

  it("says that there are fewer brokers than replicas asked for", async () => {
    const { brokers: nodes } = await admin.describeCluster();
    const message = await refusal(open({ replicationFactor: nodes.length + 2 }));
    expect(message).toContain("INVALID_REPLICATION_FACTOR");
    expect(message).toContain(`the cluster has ${nodes.length} broker(s)`);
  });

  it("refuses another number of partitions and fewer replicas than asked for", async () => {
    await make({});
    const message = await refusal(open({ partitions: 4, replicationFactor: 3 }));
    expect(message).toContain("polder.events has 3 partitions, not 4");
    expect(message).toContain("polder.events has 1 replica(s), not 3");
    expect(message).toContain("polder.events has min.insync.replicas 1");
    expect(message).toContain("polder.rejected has 3 partitions, not 4");
  });

  it("refuses a topic that nothing can be written to, and one that forgets", async () => {
    await make({
      configEntries: [
        { name: "min.insync.replicas", value: "2" },
        { name: "cleanup.policy", value: "compact" },
      ],
    });
    const message = await refusal(open());
    expect(message).toContain("min.insync.replicas 2 but 1 replica(s)");
    expect(message).toContain("is compacted");
  });

  it("refuses a topic of choices that would forget them, and one that would keep every one of them", async () => {
    await make({ configEntries: [{ name: "retention.ms", value: "86400000" }] });
    const message = await refusal(open());
    expect(message).toContain("polder.consent is not compacted");
    expect(message).toContain("polder.consent forgets choices after 86400000 ms");
    expect(message).not.toContain("polder.events");
  });

  it("tells an append what is wrong, too", async () => {
    await make({ numPartitions: 1 });
    const record = {
      key: "k",
      value: Buffer.from("{}"),
      headers: { id: "id", site: "shop", anonymousId: "", userId: "" },
    };
    await expect(open().append("polder.events", [record])).rejects.toThrow("has 1 partitions, not 3");
  });
});
