import { defineConfig } from "vitest/config";

// Packages are read from source, so a test never sees a stale build.
const resolve = { conditions: ["source"] };
const ssr = { resolve: { conditions: ["source"], externalConditions: ["source"] } };
// What hangs ends. A slow or loaded machine is not a fault: this is many times what the longest test takes on ours.
const limits = { testTimeout: 600_000, hookTimeout: 600_000 };
const skip = ["**/node_modules/**", "**/dist/**", "test-e2e/**"];

export default defineConfig({
  test: {
    projects: [
      // One worker shares its modules over all files: more than ten times faster than isolating each.
      {
        resolve,
        ssr,
        test: {
          name: "unit",
          include: ["**/*.test.{ts,tsx}"],
          exclude: [...skip, "**/*.{isolated,engine,kafka}.test.{ts,tsx}"],
          isolate: false,
          ...limits,
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: "isolated",
          include: ["**/*.isolated.test.ts"],
          exclude: skip,
          ...limits,
        },
      },
      // The real database engine and the real broker: `npm test` prepares what they need.
      {
        resolve,
        ssr,
        test: {
          name: "engine",
          include: ["**/*.engine.test.ts"],
          exclude: skip,
          ...limits,
          fileParallelism: false,
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: "kafka",
          include: ["**/*.kafka.test.ts"],
          exclude: skip,
          ...limits,
          fileParallelism: false,
        },
      },
    ],
  },
});
