import { quoteName, type ClickHouse } from "./clickhouse.ts";

/** Makes what was written to `identity` visible to `person(atom)`. It does not happen by itself. */
export async function reloadIdentities(clickhouse: ClickHouse, cluster?: string): Promise<void> {
  const onCluster = cluster === undefined ? "" : `ON CLUSTER ${quoteName(cluster)} `;
  await clickhouse.command(`SYSTEM RELOAD DICTIONARY ${onCluster}${quoteName(clickhouse.database)}.identity_dict`);
}
