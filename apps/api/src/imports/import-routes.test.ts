import { createHash } from "node:crypto";
import { createSiteDirectory, parseConfig } from "@polder/core";
import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { createApi } from "../create-api.ts";
import { createSampleStore } from "../sample-queries.test-support.ts";

const now = new Date("2026-11-22T21:00:00Z");
const key = "sk_files_1234";

function build() {
  const config = parseConfig(
    JSON.stringify({
      sites: [
        {
          id: "shop",
          name: "Shop",
          timezone: "UTC",
          origins: ["https://shop.example"],
          writeKeys: [{ key: "pk_shop_1234" }],
          serverKeys: [
            {
              hash: createHash("sha256").update(key).digest("hex"),
              name: "files",
              basis: { purposes: ["measurement", "profile"], basis: "contract", reason: "Orders." },
            },
          ],
        },
      ],
    }),
  );
  if (!config.ok) throw new Error(JSON.stringify(config.problems));
  const { app } = createApi({
    queries: createSampleStore().queries,
    sites: () => [{ id: "shop", name: "Shop", timezone: "UTC" }],
    logger: { info: () => {}, warn: () => {}, error: () => {} },
    registry: new Registry(),
    now: () => now,
    isStoreReachable: async () => true,
    imports: {
      directory: createSiteDirectory(config.config),
      collectorUrl: () => {
        throw new Error("something was sent");
      },
      store: {
        versions: async () => [],
        knownPeople: async () => ({ userIds: [], anonymousIds: [] }),
        countStored: async () => 0,
        imports: async () => [],
      },
    },
  });
  return async (file: string, query: string) => {
    const answer = await app.request(`/v1/imports?${query}`, {
      method: "POST",
      body: file,
      headers: { "content-type": "text/csv", "x-write-key": key },
    });
    return { status: answer.status, report: (await answer.json()) as { message: string } };
  };
}

it("takes no contacts of which nobody knows of when they are: they would overrule what is newer, and bring back who was erased", async () => {
  const upload = build();
  const file = "Customer ID,City\nk-1,Delft\n";
  const refused = await upload(file, "kind=contacts&mapping=auto&actor=crm");
  expect(refused).toMatchObject({ status: 400, report: { code: "invalid_request" } });
  expect(refused.report.message).toContain("asOf");
  expect(await upload(file, "kind=contacts&dryRun=true")).toMatchObject({
    status: 200,
    report: { counts: { new: 0, refusedRows: 1 }, refused: [{ line: 2, reason: "missing_cell" }] },
  });
  const asOf = "2025-11-22T20:15:00Z";
  expect(await upload(file, `kind=contacts&dryRun=true&asOf=${asOf}`)).toMatchObject({
    status: 200,
    report: {
      counts: { new: 1, refusedRows: 0 },
      events: [{ line: 2, event: { timestamp: new Date(asOf).toISOString() } }],
    },
  });
  const timed = "Customer ID,City,Time\nk-1,Delft,2025-11-22T20:15:00Z\nk-2,Delft,\n";
  expect(await upload(timed, "kind=contacts&dryRun=true")).toMatchObject({
    report: { counts: { new: 1, refusedRows: 1 }, refused: [{ line: 3, column: "Time" }] },
  });
});
