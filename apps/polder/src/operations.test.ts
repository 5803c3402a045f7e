import { readFileSync } from "node:fs";
import { parser } from "@prometheus-io/lezer-promql";
import { requestErrors } from "@polder/protocol";
import { beforeAll, describe, expect, it } from "vitest";
import { allMetrics, type Metric } from "./all-metrics.test-support.ts";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

let metrics: readonly Metric[] = [];
beforeAll(async () => {
  metrics = await allMetrics();
});

describe("docs/operations.md", () => {
  const page = read("docs/operations.md");

  it("lists every metric that there is, with its type and labels, and no other", () => {
    const rows = [...page.matchAll(/^\| `(polder_\w+)` \| (\w+) \| ([\w, ]*)\| ([^|]*) \| (.+) \|$/gm)];
    const listed = rows.map(([, name = "", type = "", labels = ""]) => ({
      name,
      type,
      labels: labels.split(",").flatMap((label) => label.trim() || []),
    }));
    const exported = metrics.map(({ name, type, labels }) => ({ name, type, labels: [...labels] }));
    const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
    expect(listed.toSorted(byName)).toEqual(exported);
  });

  it("gives each the unit that its name says", () => {
    for (const [, name = "", unit = ""] of page.matchAll(/^\| `(polder_\w+)` \| \w+ \| [\w, ]*\| ([^|]*) \|/gm)) {
      const last = /_(seconds|bytes|records|events|requests|connections|partitions)$/.exec(name)?.[1];
      if (last !== undefined && !name.startsWith("polder_consent")) expect([name, unit.trim()]).toEqual([name, last]);
    }
  });

  it("says what to do about every alert, and about no other", () => {
    const rules = read("deploy/prometheus/polder.rules.yml");
    const alerts = [...rules.matchAll(/- alert: (\w+)[\s\S]*?severity: (\w+)/g)].map(([, name, severity]) => [
      name,
      severity,
    ]);
    expect(alerts.length).toBeGreaterThan(10);
    const rows = [...page.matchAll(/^\| `(Polder\w+)` \| (page|ticket) \| .+ \|$/gm)];
    expect(rows.map(([, name, severity]) => [name, severity])).toEqual(alerts);
  });
});

/** Of Prometheus and of Node's client, not ours. */
const foreign = new Map<string, readonly string[]>([
  ["up", []],
  ["process_start_time_seconds", []],
  ["process_resident_memory_bytes", []],
]);
const ofEveryScrape = ["job", "instance"];

/** What a metric's name may be asked with, by the name of each of its series. */
function labelsOfSeries(): Map<string, readonly string[]> {
  const series = new Map(foreign);
  for (const { name, type, labels } of metrics) {
    if (type !== "histogram") series.set(name, labels);
    else {
      series.set(`${name}_bucket`, [...labels, "le"]);
      series.set(`${name}_count`, labels);
      series.set(`${name}_sum`, labels);
    }
  }
  return series;
}

interface Question {
  names: string[];
  /** Of matchers and of groupings. */
  labels: string[];
  faults: number;
}

function readQuestion(expression: string): Question {
  const question: Question = { names: [], labels: [], faults: 0 };
  parser.parse(expression).iterate({
    enter(node) {
      const text = expression.slice(node.from, node.to);
      const parent = node.node.parent?.name;
      if (node.type.isError) question.faults++;
      if (node.name === "Identifier" && parent === "VectorSelector") question.names.push(text);
      if (node.name === "LabelName") question.labels.push(text);
    },
  });
  return question;
}

function expectAnswerable(expression: string): void {
  const series = labelsOfSeries();
  const { names, labels, faults } = readQuestion(expression);
  expect(faults, expression).toBe(0);
  expect(names.length, expression).toBeGreaterThan(0);
  for (const name of names) expect([...series.keys()], expression).toContain(name);
  const known = new Set([...names.flatMap((name) => series.get(name) ?? []), ...ofEveryScrape]);
  for (const label of labels) expect([...known], expression).toContain(label);
}

describe("the alert rules", () => {
  const expressions = [...read("deploy/prometheus/polder.rules.yml").matchAll(/^ +expr: (.+)$/gm)].map(
    ([, expression = ""]) => expression,
  );

  it.each(expressions)("ask for what there is: %s", (expression) => expectAnswerable(expression));

  const rule = (alert: string): string =>
    new RegExp(`- alert: ${alert}\n[\\s\\S]*?(?=\n\n|$)`).exec(read("deploy/prometheus/polder.rules.yml"))?.[0] ?? "";

  it("miss a part of which nothing is left: its targets are gone with it, and so is their `up`", () => {
    const jobs = [...read("deploy/prometheus/prometheus.yml").matchAll(/job_name: (\S+)/g)].map(([, job]) => job);
    expect(jobs.length).toBeGreaterThan(3);
    const missed = [...rule("PolderDown").matchAll(/absent\(up\{job="([\w-]+)"\}\)/g)].map(([, job]) => job);
    expect(missed).toEqual(jobs);
  });

  it("page for every 503 that clients hear, but for that of a collector which stops", () => {
    const codes = Object.entries(requestErrors).flatMap(([code, { status }]) => (status === 503 ? [code] : []));
    const paged = /code=~"([\w|]+)"/.exec(rule("PolderTurnsClientsAway"))?.[1]?.split("|") ?? [];
    expect([...paged, "draining"].toSorted()).toEqual(codes.toSorted());
  });

  it("speak of a time only where their value is one", () => {
    const all = read("deploy/prometheus/polder.rules.yml").split("- alert: ").slice(1);
    const timed = all.filter((text) => text.includes("$value | humanizeDuration"));
    expect(timed.length).toBeGreaterThan(2);
    for (const text of timed) {
      // Of `a and b` the value is that of `a`.
      const [value = ""] = /^ +expr: (.+)$/m.exec(text)![1]!.split(/ (?:and|unless) /);
      expect(value).toMatch(/_seconds/);
      expect(value).not.toMatch(/_(?:records|bytes|total)\b/);
    }
  });

  it("look at each loader by itself: one that goes on does not hide one that is stuck", () => {
    expect(rule("PolderLoadingStalled")).not.toMatch(/max\(|sum\(/);
    expect(rule("PolderLoadingStalled")).toContain("$labels.instance");
  });

  it("name an alert each, once", () => {
    const names = [...read("deploy/prometheus/polder.rules.yml").matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(expressions).toHaveLength(names.length);
  });
});

interface Panel {
  id: number;
  title: string;
  type: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource?: { uid: string };
  targets?: { expr: string; datasource: { uid: string } }[];
}
interface Dashboard {
  title: string;
  uid: string;
  schemaVersion: number;
  panels: Panel[];
  templating: { list: { name: string; definition?: string }[] };
}

describe("the dashboard", () => {
  const dashboard = JSON.parse(read("deploy/grafana/polder.json")) as Dashboard;
  const panels = dashboard.panels.filter(({ type }) => type !== "row");
  // Grafana puts these in before it asks Prometheus.
  const filled = (expression: string): string => expression.replaceAll("$__rate_interval", "5m");
  const targets = panels.flatMap(({ title, targets: asked = [] }) => asked.map(({ expr }) => [title, expr] as const));

  it("has a shape that Grafana takes: panels with ids of their own that do not lie on one another", () => {
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(39);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const [n, a] of dashboard.panels.entries()) {
      expect(a.gridPos.x + a.gridPos.w).toBeLessThanOrEqual(24);
      for (const b of dashboard.panels.slice(n + 1)) {
        const apart =
          a.gridPos.x + a.gridPos.w <= b.gridPos.x ||
          b.gridPos.x + b.gridPos.w <= a.gridPos.x ||
          a.gridPos.y + a.gridPos.h <= b.gridPos.y ||
          b.gridPos.y + b.gridPos.h <= a.gridPos.y;
        expect(apart, `${a.title} and ${b.title}`).toBe(true);
      }
    }
    // A dashboard that names one installation's data source is of use to nobody else.
    for (const panel of panels) expect(panel.datasource?.uid).toBe("${datasource}");
  });

  it.each(targets)("asks for what there is: %s: %s", (_title, expr) => expectAnswerable(filled(expr)));

  it("fills its variables from what there is", () => {
    const [, name = "", label = ""] =
      /^label_values\((\w+), (\w+)\)$/.exec(
        dashboard.templating.list.find((variable) => variable.name === "site")?.definition ?? "",
      ) ?? [];
    expect(labelsOfSeries().get(name)).toContain(label);
  });

  it("shows every metric but those that stand for others", () => {
    const shown = new Set(targets.flatMap(([, expr]) => readQuestion(filled(expr)).names));
    const hidden = metrics
      .map(({ name }) => name)
      .filter((name) => ![name, `${name}_bucket`].some((series) => shown.has(series)));
    expect(hidden).toEqual([
      "polder_api_live_listeners",
      "polder_collector_append_records",
      "polder_collector_choices_recorded_total",
      "polder_collector_step_passed_total",
      "polder_consent_ledger_lag_records",
      "polder_loader_range_seconds",
      "polder_log_lag_seconds",
      "polder_worker_settled_timestamp_seconds",
    ]);
  });
});

describe("the check of an expression", () => {
  it("finds a metric that is not there, a label that it has not, and a question that is none", () => {
    expect(() => expectAnswerable("sum(rate(polder_collector_events_receive_total[5m]))")).toThrow();
    expect(() => expectAnswerable('polder_loader_rows_total{site="shop"}')).toThrow();
    expect(() => expectAnswerable("sum by (site) (polder_loader_rows_total)")).toThrow();
    expect(() => expectAnswerable("polder_loader_event_age_seconds")).toThrow();
    expect(() => expectAnswerable("sum(polder_loader_rows_total")).toThrow();
    expectAnswerable('sum by (topic, instance) (rate(polder_loader_rows_total{outcome!="loaded"}[5m]))');
  });
});
