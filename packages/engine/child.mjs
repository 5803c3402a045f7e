// The process that becomes the database. Plain JavaScript, so that it starts the same from source and from a build.
// usage: node child.mjs <path of libchdb> <path of config.xml> <port> <pid of the parent>
import { createRequire } from "node:module";
import { isMainThread, Worker, workerData } from "node:worker_threads";

if (isMainThread) {
  const [library, configFile, port, parent] = process.argv.slice(2);
  // The call below never returns while it serves, so the main thread has no event loop: a worker has to watch the parent.
  const watch = new Worker(new URL(import.meta.url), { workerData: { parent: Number(parent) } });
  watch.once("online", () => serve(library, configFile, port));
} else {
  setInterval(() => {
    if (process.ppid === workerData.parent) return;
    // An orphan would hold the data path against the next start.
    process.kill(process.pid, "SIGTERM");
    setTimeout(() => process.kill(process.pid, "SIGKILL"), 5_000);
  }, 250);
}

function serve(library, configFile, port) {
  const { DataType, load, open } = createRequire(import.meta.url)("ffi-rs");
  // `sum`, because count() is answered without running the sleep. Short sleeps, because they cannot be interrupted when we stop.
  const query =
    "SYSTEM START LISTEN HTTP; SELECT sum(sleepEachRow(0.2)) FROM numbers(4000000000) " +
    "SETTINGS max_block_size = 1, max_threads = 1, function_sleep_max_microseconds_per_block = 0, max_execution_time = 0";
  const args = ["clickhouse", "--config-file", configFile, "--query", query, "--", `--http_port=${port}`];
  open({ library: "engine", path: library });
  load({
    library: "engine",
    funcName: "chdb_query_cmdline",
    retType: DataType.External,
    paramsType: [DataType.I32, DataType.StringArray],
    paramsValue: [args.length, args],
  });
  // Reached only when the server could not start or gave up; its own words are on stderr.
  process.exit(1);
}
