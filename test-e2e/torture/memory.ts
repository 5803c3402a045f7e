import { readFileSync } from "node:fs";

const pageBytes = 4096;
const MiB = 2 ** 20;

export interface Growth {
  name: string;
  /** Of the longest life that was watched. */
  minutes: number;
  medianMiB: number;
  peakMiB: number;
  /** Of a line through its samples; the median of all slopes, which a sawtooth of the collector of garbage does not move. */
  mibPerMinute: number;
}

interface Life {
  pid: number;
  samples: { atMs: number; mib: number }[];
}

/** Resident memory of processes, looked at every second, life by life. */
export function watchMemory(parts: readonly { name: string; pid(): number | undefined }[]) {
  const lives = new Map<string, Life[]>(parts.map(({ name }) => [name, []]));
  const look = (): void => {
    for (const { name, pid } of parts) {
      const id = pid();
      if (id === undefined) continue;
      const mib = residentMiB(id);
      if (mib === undefined) continue;
      const own = lives.get(name)!;
      if (own.at(-1)?.pid !== id) own.push({ pid: id, samples: [] });
      own.at(-1)!.samples.push({ atMs: performance.now(), mib });
    }
  };
  const timer = setInterval(look, 1_000);
  return {
    stop(): void {
      clearInterval(timer);
    },
    /** By part, of its longest life, without its first `warmUpMs`. */
    growth: (warmUpMs: number): Growth[] =>
      [...lives].flatMap(([name, own]) => {
        const peakMiB = Math.max(0, ...own.flatMap(({ samples }) => samples.map(({ mib }) => mib)));
        const longest = own.toSorted((a, b) => lengthOf(b) - lengthOf(a))[0];
        if (longest === undefined) return [];
        const from = longest.samples[0]!.atMs + warmUpMs;
        const samples = longest.samples.filter(({ atMs }) => atMs >= from);
        if (samples.length < 2) return [];
        return [
          {
            name,
            minutes: (samples.at(-1)!.atMs - samples[0]!.atMs) / 60_000,
            medianMiB: median(samples.map(({ mib }) => mib)),
            peakMiB,
            mibPerMinute: median(slopes(samples)) * 60_000,
          },
        ];
      }),
  };
}

const lengthOf = ({ samples }: Life): number => samples.at(-1)!.atMs - samples[0]!.atMs;

function residentMiB(pid: number): number | undefined {
  try {
    return (Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * pageBytes) / MiB;
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
