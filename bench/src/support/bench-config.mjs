export const writeKey = "pk_bench_00000001";

/** One site without a limit on its rate. */
export const benchConfig = {
  sites: [
    {
      id: "bench",
      name: "Benchmark",
      timezone: "Europe/Amsterdam",
      origins: ["http://shop.test"],
      writeKeys: [{ key: writeKey }],
      maxEventsPerSecond: 1_000_000,
    },
  ],
};
