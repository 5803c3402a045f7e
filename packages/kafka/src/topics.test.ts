import type { Admin } from "kafkajs";
import { expect, it } from "vitest";
import { prepareTopics } from "./topics.ts";

/** A cluster that makes topics at once, whose brokers hear of it when they have been asked so often. */
function createSlowCluster(heardAfter: number) {
  const asked: string[] = [];
  const cluster: Partial<Admin> = {
    listTopics: async () => [],
    createTopics: async () => true,
    async fetchTopicOffsets(topic) {
      asked.push(topic);
      if (asked.length > heardAfter) return [];
      throw Object.assign(new Error("Not the leader."), { type: "NOT_LEADER_FOR_PARTITION" });
    },
    fetchTopicMetadata: async () => ({
      topics: [
        { name: "events", partitions: [{ partitionErrorCode: 0, partitionId: 0, leader: 1, replicas: [1], isr: [1] }] },
      ],
    }),
    describeConfigs: async () => ({ resources: [], throttleTime: 0 }),
  };
  return { admin: cluster as Admin, asked };
}

it("calls a new topic prepared when its leaders take records, and not when they are named", async () => {
  const { admin, asked } = createSlowCluster(3);
  const required = { compacted: [], partitions: 1, replicationFactor: 1, createTopics: true };
  await prepareTopics(admin, ["events"], required);
  expect(asked).toEqual(["events", "events", "events", "events"]);
});
