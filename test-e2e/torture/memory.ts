import { readFileSync } from "node:fs";

export interface Growth {
  name: string;
  /** Of all its lives, with what it has mapped of files; undefined when nothing was ever seen of it. */
  peakMiB: number | undefined;
  /** Of its longest life behind the warm-up, 0 when there was none. */
  minutes: number;
  /** Of memory of its own: what the kernel has of its files in memory is not its to give back. */
  medianMiB: number;
  /** Of a line through its samples; the median of all slopes, which a sawtooth of the collector of garbage does not move. */
  mibPerMinute: number;
}

interface Sample {
  residentMiB: number;
  ownMiB: number;
}
interface Life {
  pid: number;
  samples: { atMs: number; mib: number }[];
}

/** Memory of processes, looked at every second, life by life. */
export function watchMemory(
  parts: readonly { name: string; pid(): number | undefined }[],
  how: { read?: (pid: number) => Sample | undefined; now?: () => number } = {},
) {
  const { read = memoryOf, now = () => performance.now() } = how;
  const peaks = new Map<string, number>();
  const lives = new Map<string, Life[]>(parts.map(({ name }) => [name, []]));
  const look = (): void => {
    for (const { name, pid } of parts) {
      const id = pid();
      if (id === undefined) continue;
      const sample = read(id);
      if (sample === undefined) continue;
      peaks.set(name, Math.max(peaks.get(name) ?? 0, sample.residentMiB));
      const own = lives.get(name)!;
      if (own.at(-1)?.pid !== id) own.push({ pid: id, samples: [] });
      own.at(-1)!.samples.push({ atMs: now(), mib: sample.ownMiB });
    }
  };
  const timer = setInterval(look, 1_000);
  return {
    look,
    stop(): void {
      clearInterval(timer);
    },
    /** Of every part; over time without the first `warmUpMs` of a life. */
    growth: (warmUpMs: number): Growth[] =>
      [...lives].map(([name, own]) => {
        const longest = own.toSorted((a, b) => lengthOf(b) - lengthOf(a))[0]?.samples ?? [];
        const samples = longest.filter(({ atMs }) => atMs >= longest[0]!.atMs + warmUpMs);
        return {
          name,
          peakMiB: peaks.get(name),
          minutes: samples.length < 2 ? 0 : (samples.at(-1)!.atMs - samples[0]!.atMs) / 60_000,
          medianMiB: median(longest.map(({ mib }) => mib)),
          mibPerMinute: median(slopes(samples)) * 60_000,
        };
      }),
  };
}

const lengthOf = ({ samples }: Life): number => samples.at(-1)!.atMs - samples[0]!.atMs;

function memoryOf(pid: number): Sample | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const mibOf = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)![1]) / 1024;
    return { residentMiB: mibOf("VmRSS"), ownMiB: mibOf("RssAnon") };
  } catch {
    return undefined; // it ended, or this is no Linux
  }
}

/** MiB a millisecond, of pairs that are half of all samples apart at least. */
function slopes(samples: Life["samples"]): number[] {
  const found: number[] = [];
  const step = Math.max(1, Math.floor(samples.length / 300));
  for (let i = 0; i < samples.length; i += step) {
    for (let j = i + Math.ceil(samples.length / 2); j < samples.length; j += step)
      found.push((samples[j]!.mib - samples[i]!.mib) / (samples[j]!.atMs - samples[i]!.atMs));
  }
  return found;
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
