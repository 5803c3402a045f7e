import { describe, expect, it } from "vitest";
import { kafkaFromEnv } from "./options-from-env.ts";

describe("what appends", () => {
  it("is kafkajs unless the environment names the other library", () => {
    const producerOf = (value: string | undefined) =>
      kafkaFromEnv({ KAFKA_BROKERS: "a:9092", POLDER_KAFKA_PRODUCER: value })?.producer;
    expect([producerOf(undefined), producerOf(""), producerOf("kafkajs")]).toEqual(["kafkajs", "kafkajs", "kafkajs"]);
    expect(producerOf("platformatic")).toBe("platformatic");
    expect(() => producerOf("Platformatic")).toThrow("POLDER_KAFKA_PRODUCER must be kafkajs or platformatic.");
  });
});
