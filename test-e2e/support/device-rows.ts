/**
 * What asks for the rows of a device, and goes on to find those that it has seen: soon after a withdrawal nothing but their atoms says whose they were.
 * @param ask for the rows that fulfil a condition
 */
export function createDeviceRows<Row extends { atom: number }>(
  ask: (where: string) => Promise<Row[]>,
): (device: string) => Promise<Row[]> {
  const atomsOf = new Map<string, readonly number[]>();
  return async (device) => {
    const rows = await ask(`anonymous_id = '${device}' OR has([${(atomsOf.get(device) ?? []).join()}], atom)`);
    atomsOf.set(device, [...new Set(rows.map(({ atom }) => atom).filter((atom) => atom !== 0))]);
    return rows;
  };
}
