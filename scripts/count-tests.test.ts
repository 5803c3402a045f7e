import { expect, it } from "vitest";
import { countPlaywright, countVitest } from "./count-tests.mjs";

const file = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((test, at) => ({
    status: test,
    fullName: `test ${at}`,
    failureMessages: test === "failed" ? ["expected 1 to be 2"] : [],
  })),
});

it("counts Vitest's tests by outcome", () => {
  const report = { testResults: [file("passed", "passed", "skipped", "todo"), file("failed", "failed", "passed")] };
  expect(countVitest(report)).toEqual({
    passed: 2,
    failed: 1,
    skipped: [
      { title: "test 1", reason: "skipped by the test itself" },
      { title: "test 2", reason: "not written yet" },
    ],
    failures: [{ title: "test 0", message: "expected 1 to be 2" }],
  });
});

it("counts a file that could not be loaded as a failure", () => {
  expect(countVitest({ testResults: [file("failed"), file("failed", "passed", "failed")] })).toMatchObject({
    passed: 1,
    failed: 2,
  });
});

it("counts Playwright's tests in nested suites, and says why one was skipped", () => {
  const spec = (title: string, status: string, description?: string) => ({
    title,
    tests: [
      {
        status,
        annotations: description ? [{ type: "skip", description }] : [],
        results: [{ errors: status === "unexpected" ? [{ message: "a row too many" }] : [] }],
      },
    ],
  });
  const suites = [
    {
      title: "shop.spec.ts",
      specs: [spec("buys", "expected")],
      suites: [
        { title: "no", specs: [spec("stores nothing", "unexpected"), spec("scaled out", "skipped", "no broker")] },
      ],
    },
  ];
  expect(countPlaywright({ suites })).toEqual({
    passed: 1,
    failed: 1,
    skipped: [{ title: "shop.spec.ts › no › scaled out", reason: "no broker" }],
    failures: [{ title: "shop.spec.ts › no › stores nothing", message: "a row too many" }],
  });
});

it("counts a flaky test, and an error outside any test, as failures", () => {
  const flaky = { title: "a.spec.ts", specs: [{ title: "sometimes", tests: [{ status: "flaky" }] }] };
  expect(countPlaywright({ suites: [flaky], errors: [{ message: "no config" }] })).toMatchObject({
    passed: 0,
    failed: 2,
  });
});
