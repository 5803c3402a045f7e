import { statfsSync } from "node:fs";
import { Counter, Gauge, type Registry } from "prom-client";

/** What only the process that has everything in it can tell. */
export function addProcessMetrics(options: {
  registry: Registry;
  dataPath: string;
  /** Undefined when ClickHouse is somebody else's. */
  engine: { pid(): number | undefined; onRestart(callback: () => void): void } | undefined;
}): void {
  const { registry, dataPath, engine } = options;
  const registers = [registry];
  const free: Gauge = new Gauge({
    name: "polder_data_free_bytes",
    help: "Bytes that the disk of the data folder has left for this user; NaN when it cannot be read",
    registers,
    collect() {
      try {
        const { bavail, bsize } = statfsSync(dataPath);
        free.set(bavail * bsize);
      } catch {
        free.set(Number.NaN);
      }
    },
  });
  if (engine === undefined) return;
  const restarts = new Counter({
    name: "polder_engine_restarts_total",
    help: "How often the database engine ended by itself and was started again",
    registers,
  });
  engine.onRestart(() => restarts.inc());
  const up: Gauge = new Gauge({
    name: "polder_engine_up",
    help: "1 while the database engine runs, 0 while it is started again",
    registers,
    collect: () => up.set(engine.pid() === undefined ? 0 : 1),
  });
}
