import { expect, it } from "vitest";
import { readProcessSettings } from "./config.ts";

it("has what it needs without any setting", () => {
  expect(readProcessSettings({}, [])).toEqual({
    configPath: "polder.config.json",
    dataPath: ".polder",
    host: "127.0.0.1",
    port: 8081,
    kafka: undefined,
    workers: 1,
  });
});

it("reads the environment and the arguments", () => {
  const env = {
    POLDER_HOST: "0.0.0.0",
    POLDER_COLLECTOR_PORT: "0",
    KAFKA_BROKERS: "a:9092, b:9092,",
    POLDER_REPLICATION: "1",
  };
  expect(readProcessSettings(env, ["--workers", "4"])).toMatchObject({
    host: "0.0.0.0",
    port: 0,
    kafka: { brokers: ["a:9092", "b:9092"], partitions: 24, replicationFactor: 1, topicPrefix: "" },
    workers: 4,
  });
});

it.each([
  [{ POLDER_COLLECTOR_PORT: "http" }, [], "POLDER_COLLECTOR_PORT must be a whole number from 0 to 65535."],
  [{}, ["--workers", "0"], "--workers must be a whole number from 1 to 64."],
  [{ POLDER_LINK_SECRET: "short" }, [], "POLDER_LINK_SECRET must have at least 32 characters"],
  [{}, ["--nonsense"], "--nonsense"],
])("says what is wrong with %j %j", (env, args, message) => {
  expect(() => readProcessSettings(env, args)).toThrow(message);
});
