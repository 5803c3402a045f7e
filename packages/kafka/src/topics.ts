import { setTimeout as pause } from "node:timers/promises";
import { LogMisconfiguredError } from "@polder/core";
// Node sees only some of the names of this CommonJS package; its default export has all.
import kafkajs, { type Admin } from "kafkajs";
import { isUnsettled } from "./admin.ts";

export interface TopicRequirements {
  /** Which of the names keep the last record of every key, whatever its age, for {@link compactedKeptMs}; the others keep all records for a while. */
  compacted: readonly string[];
  partitions: number;
  replicationFactor: number;
  createTopics: boolean;
}

/** Longer than a record of a visitor's choices can matter: ids of devices live 395 days, events may be 30 days old. */
export const compactedKeptMs: number = 430 * 24 * 3_600_000;

/**
 * Makes the topics that are missing, when allowed, and checks the others.
 * @throws {LogMisconfiguredError} when a topic is not what is required: records would lose their order or their safety.
 */
export async function prepareTopics(
  admin: Admin,
  names: readonly string[],
  required: TopicRequirements,
): Promise<void> {
  const existing = new Set(await admin.listTopics());
  const missing = names.filter((name) => !existing.has(name));
  if (missing.length > 0) {
    await create(admin, missing, required);
    for (const name of missing) await untilLed(admin, name);
  }
  const faults = await findFaults(admin, names, required);
  if (faults.length > 0) throw new LogMisconfiguredError(faults.join(" "));
}

const ledWithinMs = 30_000;
const askAgainMs = 100;

/**
 * The leaders of a new topic are named before they know of it, and refuse records until then: on a busy broker for longer than a producer tries.
 * Returns when they know, and after a while in any case: whoever appends then is told what is wrong.
 */
async function untilLed(admin: Admin, topic: string): Promise<void> {
  const until = performance.now() + ledWithinMs;
  for (;;) {
    try {
      await admin.fetchTopicOffsets(topic);
      return;
    } catch (error) {
      if (!isUnsettled(error)) throw error;
      if (performance.now() > until) return;
      await pause(askAgainMs);
    }
  }
}

// With three replicas one may be away and every acknowledged record is still on two machines.
const leastInSync = ({ replicationFactor }: TopicRequirements) => (replicationFactor >= 3 ? 2 : 1);

async function create(admin: Admin, names: readonly string[], required: TopicRequirements): Promise<void> {
  const { partitions, replicationFactor } = required;
  const isCompacted = (name: string): boolean => required.compacted.includes(name);
  const compacted = names.filter(isCompacted);
  const wanted =
    `${partitions} partitions, replication factor ${replicationFactor} and min.insync.replicas ${leastInSync(required)}` +
    (compacted.length === 0
      ? ""
      : `; ${compacted.join(", ")} with cleanup.policy compact,delete and retention.ms ${compactedKeptMs}`);
  if (!required.createTopics) {
    throw new LogMisconfiguredError(
      `Kafka has no topic ${names.join(", ")}: make it with ${wanted}, or allow Polder to create topics.`,
    );
  }
  const inSync = { name: "min.insync.replicas", value: String(leastInSync(required)) };
  const deleting = [inSync, { name: "cleanup.policy", value: "delete" }];
  const compacting = [
    inSync,
    { name: "cleanup.policy", value: "compact,delete" },
    { name: "retention.ms", value: String(compactedKeptMs) },
  ];
  const topics = names.map((topic) => ({
    topic,
    numPartitions: partitions,
    replicationFactor,
    configEntries: isCompacted(topic) ? compacting : deleting,
  }));
  try {
    // False when another process was faster: the check that follows tells whether it wanted the same.
    await admin.createTopics({ topics, waitForLeaders: true });
  } catch (error) {
    const types = [error, ...((error as { errors?: unknown[] }).errors ?? [])].map(
      (one) => (one as { type?: string }).type,
    );
    if (types.includes("TOPIC_ALREADY_EXISTS")) return;
    if (!types.some((type) => type !== undefined && cannotCreate.has(type))) throw error;
    const { brokers } = await admin.describeCluster();
    throw new LogMisconfiguredError(
      `Kafka would not make ${names.join(", ")} with ${wanted} (${types.filter(Boolean).join(", ")}); the cluster has ${brokers.length} broker(s). ` +
        "Ask for no more replicas than there are brokers, and see whether this user may create topics.",
      { cause: error },
    );
  }
}

const cannotCreate = new Set([
  "INVALID_REPLICATION_FACTOR",
  "INVALID_PARTITIONS",
  "INVALID_CONFIG",
  "POLICY_VIOLATION",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
]);

async function findFaults(admin: Admin, names: readonly string[], required: TopicRequirements): Promise<string[]> {
  const metadata = await admin.fetchTopicMetadata({ topics: [...names] });
  const configs = await admin.describeConfigs({
    includeSynonyms: false,
    resources: names.map((name) => ({
      type: kafkajs.ConfigResourceTypes.TOPIC,
      name,
      configNames: ["min.insync.replicas", "cleanup.policy", "retention.ms"],
    })),
  });
  const faults: string[] = [];
  for (const { name, partitions } of metadata.topics) {
    const entries = configs.resources.find((resource) => resource.resourceName === name)?.configEntries ?? [];
    const config = new Map(entries.map((entry) => [entry.configName, entry.configValue]));
    const replicas = Math.min(...partitions.map((partition) => partition.replicas.length));
    const inSync = Number(config.get("min.insync.replicas") ?? 1);
    const fault = (text: string) => faults.push(`Topic ${name} ${text}`);
    if (partitions.length !== required.partitions) {
      fault(
        `has ${partitions.length} partitions, not ${required.partitions}: set the number that it has, or make it anew.`,
      );
    }
    if (replicas < required.replicationFactor) {
      fault(`has ${replicas} replica(s), not ${required.replicationFactor}: reassign its partitions, or ask for less.`);
    }
    if (inSync < leastInSync(required)) {
      fault(
        `has min.insync.replicas ${inSync}: an acknowledged record could be on one machine only. Set it to ${leastInSync(required)}.`,
      );
    }
    if (inSync > replicas) {
      fault(`has min.insync.replicas ${inSync} but ${replicas} replica(s): nothing could ever be written. Lower it.`);
    }
    const policy = config.get("cleanup.policy") ?? "delete";
    if (!required.compacted.includes(name)) {
      if (policy.includes("compact"))
        fault("is compacted: records would vanish before they are loaded. Set cleanup.policy to delete.");
      continue;
    }
    if (!policy.includes("compact"))
      fault("is not compacted: it would grow with every choice. Set cleanup.policy to compact,delete.");
    const keptMs = Number(config.get("retention.ms") ?? -1);
    if (policy.includes("delete") && keptMs >= 0 && keptMs < compactedKeptMs)
      fault(`forgets choices after ${keptMs} ms, while they still count. Set retention.ms to ${compactedKeptMs}.`);
  }
  return faults;
}
