import { LogMisconfiguredError, LogUnavailableError } from "@polder/core";
import type { Kafka } from "kafkajs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createClusterAdmin, type ClusterAdmin } from "./admin.ts";
import { openSilentBroker, type SilentBroker } from "./silent-broker.test-support.ts";

describe("asking a broker that takes connections and answers nothing", () => {
  let broker: SilentBroker;
  let admin: ClusterAdmin;
  beforeEach(async () => {
    broker = await openSilentBroker();
    admin = createClusterAdmin(broker.client);
  });
  afterEach(async () => {
    await admin.close();
    await broker.close();
  });
  const ask = () =>
    admin
      .ask((asked) => asked.describeCluster())
      .then(
        () => undefined,
        (error: unknown) => error,
      );

  it("says each time that the cluster is away, and dials anew for the next question", async () => {
    for (let n = 1; n <= 3; n++) {
      expect(await ask()).toBeInstanceOf(LogUnavailableError);
      expect(broker.dialled()).toBe(n);
    }
  });

  it("leaves no connection behind that came to nothing", async () => {
    await ask();
    await broker.left();
    expect(broker.dialled()).toBe(1);
  });
});

it("lets a person hear what only a person can mend", async () => {
  const wrong = new LogMisconfiguredError("a topic of another shape");
  const connected = { admin: () => ({ connect: async () => {}, disconnect: async () => {} }) } as unknown as Kafka;
  await expect(createClusterAdmin(connected).ask(() => Promise.reject(wrong))).rejects.toBe(wrong);
});
