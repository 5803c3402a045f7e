import { createHash, randomBytes } from "node:crypto";

/** Of this run alone: a client that meets somebody else's collector on a port that was freed is refused there. */
const run = randomBytes(4).toString("hex");

/** The configuration of a site as an owner might write it, with one key of each kind. */
export function testConfig(origins: string[]) {
  const writeKey = `pk_test_site_${run}`;
  const elsewhereKey = `pk_test_elsewhere_${run}`;
  const serverKey = `sk_test_server_0000_${run}`;
  const config = {
    sites: [
      {
        id: "test",
        name: "Test site",
        timezone: "Europe/Amsterdam",
        origins,
        writeKeys: [
          { key: writeKey },
          {
            key: elsewhereKey,
            name: "Segment's clients behind the banner that the site has already",
            basis: {
              purposes: ["necessary", "measurement", "profile"],
              basis: "consent_elsewhere",
              reason: "The existing banner loads the client only after a yes.",
            },
          },
        ],
        serverKeys: [
          {
            hash: createHash("sha256").update(serverKey).digest("hex"),
            name: "shop server",
            basis: {
              purposes: ["necessary", "measurement", "profile"],
              basis: "contract",
              reason: "Orders are part of the contract.",
            },
          },
        ],
        maxEventsPerSecond: 100_000,
      },
    ],
  };
  return { config, writeKey, elsewhereKey, serverKey };
}
