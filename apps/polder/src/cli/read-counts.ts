/** One line of a Prometheus exposition. */
export interface Count {
  name: string;
  labels: { readonly [label: string]: string };
  value: number;
}

/** Of label values only those without escapes: sites, topics and reasons have none. Lines that are no numbers are left out. */
export function readCounts(exposition: string): Count[] {
  const counts: Count[] = [];
  for (const [, name = "", labels = "", value] of exposition.matchAll(/^([a-z_]+)(?:\{([^}\n]*)\})? (\S+)$/gm)) {
    if (!Number.isFinite(Number(value))) continue;
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = "", text = ""]) => [label, text]);
    counts.push({ name, labels: Object.fromEntries(pairs) as Count["labels"], value: Number(value) });
  }
  return counts;
}

/** Over all that carry these labels. */
export const sumOf = (counts: readonly Count[], name: string, labels: Count["labels"] = {}): number =>
  counts
    .filter(
      (count) => count.name === name && Object.entries(labels).every(([label, text]) => count.labels[label] === text),
    )
    .reduce((sum, { value }) => sum + value, 0);
