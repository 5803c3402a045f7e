const counts = [20, 200];
const ways = { navigate: "next page", leave: "leave", close: "close", kill: "killed hidden" };

/** `0 → 20 (6 twice)`: none at once, all after coming back, six of them a second time. */
function lossCell(loss) {
  if (loss === undefined) return "–";
  if (loss.error !== undefined) return "failed";
  const { atOnce, arrived, duplicates } = loss;
  const came = atOnce === undefined || atOnce === arrived ? `${arrived}` : `${atOnce} → ${arrived}`;
  return duplicates > 0 ? `${came} (${duplicates} twice)` : came;
}

const leavingColumns = {
  click: "click, leave",
  ...Object.fromEntries(
    counts.flatMap((count) => Object.entries(ways).map(([way, title]) => [`${way}-${count}`, `${count}: ${title}`])),
  ),
};
const troubleColumns = {
  "refused-reload": "refused, reload",
  "refused-leave": "refused, left meanwhile",
  "refused-stay": "refused, page stays",
  "status-500": "500 for 4 s",
  "status-429": "429, Retry-After 6",
  "two-tabs": "two tabs, 100",
};

function lossTable(losses, columns) {
  const rows = [];
  for (const sdk of new Set(losses.map((loss) => loss.sdk))) {
    const mine = losses.filter((loss) => loss.sdk === sdk && loss.scenario in columns);
    if (mine.length === 0) continue;
    const row = { sdk };
    for (const [scenario, title] of Object.entries(columns)) {
      if (!losses.some((loss) => loss.scenario === scenario)) continue;
      const loss = mine.find((one) => one.scenario === scenario);
      row[title] = lossCell(loss);
      if (scenario === "status-429") {
        row["early retries"] = String(loss?.earlyRetries ?? "–");
        row["first retry, ms"] = String(loss?.firstRetryMs ?? "–");
      }
    }
    rows.push(row);
  }
  return rows;
}

/** @returns tables with their titles; those that nothing was measured for are left out. */
export function lossTables(losses) {
  return ["HTTP/1.1", "HTTP/2"].flatMap((protocol) => {
    const mine = losses.filter((loss) => loss.protocol === protocol);
    return [
      { title: `Leaving, ${protocol}`, rows: lossTable(mine, leavingColumns) },
      { title: `A collector in trouble, 200 calls, ${protocol}`, rows: lossTable(mine, troubleColumns) },
    ].filter(({ rows }) => rows.length > 0);
  });
}

const rounded = (ms) => (ms < 100 ? Number(ms.toFixed(1)) : Math.round(ms));

export const costTable = (costs) =>
  costs.map(({ sdk, version, gzipBytes, evaluation, calls }) => ({
    sdk,
    version,
    gzip: gzipBytes,
    ...Object.fromEntries(
      Object.entries(evaluation).map(([cpu, { ms, cpuMs }]) => [
        `evaluation ms ${cpu}x`,
        `${rounded(ms)} / ${rounded(cpuMs)}`,
      ]),
    ),
    ...Object.fromEntries(
      Object.entries(calls).map(([name, { loopMs, taskMs }]) => {
        const [count, cpu] = name.split("@");
        return [`${count} calls ms ${cpu}x`, `${rounded(loopMs)} / ${rounded(taskMs)}`];
      }),
    ),
    "arrived of 1000": calls["1000@1"].arrived,
  }));

export const toMarkdown = (tables) =>
  tables
    .map(({ title, rows }) => {
      const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
      const line = (cells) => `| ${cells.join(" | ")} |`;
      const body = rows.map((row) => line(columns.map((name) => row[name] ?? "–")));
      return [`### ${title}`, "", line(columns), line(columns.map(() => "---")), ...body, ""].join("\n");
    })
    .join("\n");
