import { expect, it } from "vitest";
import { connectKafkajsProducer } from "./kafkajs-producer.ts";
import { openSilentBroker } from "./silent-broker.test-support.ts";

it("leaves no connection behind to a broker that takes it and answers nothing", async () => {
  const broker = await openSilentBroker();
  await expect(connectKafkajsProducer(broker.client, 50)).rejects.toThrow();
  await broker.left();
  expect(broker.dialled()).toBeGreaterThan(0);
  await broker.close();
});
