import { setTimeout as pause } from "node:timers/promises";
import { mostInRequest, startClients, type Clients } from "./clients.ts";
import type { Installation, Victim } from "./installation.ts";
import {
  judgeCourse,
  judgeGrowth,
  judgeIds,
  judgeLedger,
  judgePeaks,
  judgeStates,
  memoryBounds,
  type Verdict,
} from "./judge.ts";
import { watchMemory } from "./memory.ts";
import { planFaults, type PlannedFault, type Target } from "./schedule.ts";
import { within } from "./within.ts";

export interface TortureOptions {
  seed: number;
  durationMs: number;
  /** Between one fault and the next, on average. */
  everyMs: number;
  clients: number;
  thinkMs: number;
  say: (line: string) => void;
}

const warmUpMs = 30_000;
/** The second half of a run, where that is long enough to say something of memory. */
const measuredFrom = (durationMs: number): number => {
  const leastMs = memoryBounds.leastMinutes * 60_000 + warmUpMs;
  return durationMs / 2 >= leastMs ? durationMs / 2 : durationMs;
};
const progressWithinMs = 120_000;
const drainWithinMs = 120_000;
const stateWithinMs = 120_000;

/** Load and faults for so long, then everything is put right, drained and judged. The installation is stopped with it. */
export async function runTorture(installation: Installation, options: TortureOptions): Promise<Verdict[]> {
  const { seed, durationMs, everyMs, say } = options;
  const { targets } = installation;
  const planned = planFaults({ seed, durationMs, everyMs, targets, measuredFromMs: measuredFrom(durationMs) });
  say(`seed ${seed}: ${planned.length} faults in ${durationMs / 1_000} s, logs in ${installation.folder}`);
  if (!installation.hasSlowDisks) say("no C compiler (cc): what the schedule has of slow disks does nothing");
  const memory = watchMemory(installation.measured);
  const { urls, writeKey, origin } = installation;
  const clients = startClients({ seed, count: options.clients, urls, writeKey, origin, thinkMs: options.thinkMs });
  const troubles: string[] = [];

  const isTaken = async (): Promise<boolean> => {
    const before = clients.heard.get("200") ?? 0;
    return within(
      drainWithinMs,
      async () => (clients.heard.get("200") ?? 0) > before,
      (isMore) => isMore,
    );
  };
  if (!(await isTaken())) troubles.push("the log took nothing before anything was done to it");

  const undone: Promise<unknown>[] = [];
  const kills = new Map(targets.filter(canBeKilled).map(({ name }) => [name, 0]));
  const progress = watchProgress(clients, options.clients);
  let from = performance.now();
  for (const fault of planned) {
    await pause(Math.max(0, from + fault.atMs - performance.now())); // the schedule's own clock
    if (fault.kind === "kill") {
      const victim = installation.victims.get(fault.target)!;
      const waitFrom = performance.now();
      if (!fault.isEarly && !(await progress.isMade(victim)))
        troubles.push(`nothing was accepted for ${progressWithinMs / 1_000} s before ${describe(fault)}`);
      // What comes after it keeps its distance.
      from += performance.now() - waitFrom;
      if (victim.isUp!()) kills.set(fault.target, kills.get(fault.target)! + 1);
    }
    say(
      `${((performance.now() - from) / 1_000).toFixed(1).padStart(6)} s  ${describe(fault)}  (${clients.accepted()} accepted)`,
    );
    undone.push(
      strike(installation, fault, progress.killed).catch((error: unknown) =>
        troubles.push(`${describe(fault)}: ${String(error)}`),
      ),
    );
  }
  await pause(Math.max(0, from + durationMs - performance.now())); // the last fault has its time, too
  await Promise.all(undone);
  for (const victim of installation.victims.values()) {
    await victim.thaw?.();
    victim.jump?.(0);
    victim.slow?.(0);
    await victim.start();
  }
  say(`everything runs again; ${clients.accepted()} events were accepted`);
  const ends = () => installation.parts.flatMap(({ name, ownEnds }) => ownEnds().map((end) => ({ name, ...end })));

  const isReady = await inTime(Promise.all(installation.parts.map((part) => part.ready())), drainWithinMs);
  if (!isReady) troubles.push(`not everything was ready again within ${drainWithinMs / 1_000} s`);
  if (!(await isTaken())) troubles.push("the log took nothing after everything had been put right");
  const isAnswered = await inTime(clients.finish(), drainWithinMs);
  if (!isAnswered) troubles.push(`clients were not answered within ${drainWithinMs / 1_000} s`);
  memory.stop();
  const drainFrom = performance.now();
  const waiting = await within(drainWithinMs, installation.waiting, (records) => records === 0);
  if (waiting !== 0)
    troubles.push(`the log was not drained within ${drainWithinMs / 1_000} s: ${waiting} records wait`);
  say(`drained in ${((performance.now() - drainFrom) / 1_000).toFixed(1)} s`);

  const ledger = await judgeLedger(installation, clients, stateWithinMs);
  const ids = await judgeIds(installation, clients);
  const state = await judgeStates(installation, stateWithinMs);
  const refusals = ends().filter(({ isRefusal }) => isRefusal);
  for (const { name, lastWords } of ends().filter(({ isRefusal }) => !isRefusal))
    troubles.push(`${name} ended by itself: ${lastWords}`);
  for (const { name, code } of await installation.stop())
    if (code !== 0) troubles.push(`${name} did not end well when it was asked to: ${code}`);
  const heard = [...clients.heard].map(([what, times]) => `${times} × ${what}`).join(", ");
  for (const what of clients.heard.keys()) if (!allowed.has(what)) troubles.push(`clients heard ${what}`);
  const starts = installation.parts.map(({ name, starts: times }) => `${name} ${times()}`).join(", ");
  const growth = memory.growth(warmUpMs);
  return [
    ids,
    state,
    ledger,
    judgePeaks(growth),
    judgeGrowth(growth),
    judgeCourse({ kills, expected: installation.expectedAnswers }, clients),
    {
      what: "nothing went wrong that was not done to it",
      faults: troubles,
      figures: `answers: ${heard}; connections cut: ${installation.cuts()}; starts: ${starts}; not started at once: ${refusals.length}`,
    },
  ];
}

const allowed = new Set(["200", "202", "429", "503", "cut", "timeout"]);

const canBeKilled = ({ faults }: Target): boolean => faults.some(({ kind }) => kind === "kill");

/** Whether more events were accepted since the last kill than can have been under way at its time. */
function watchProgress(clients: Clients, count: number) {
  let enough = 0;
  return {
    killed: (): unknown => (enough = clients.accepted() + count * mostInRequest),
    isMade: (victim: Victim): Promise<boolean> =>
      within(
        progressWithinMs,
        async () => clients.accepted() > enough && victim.isUp!(),
        (isEnough) => isEnough,
      ),
  };
}

/** What one sync takes of the time that a disk is slow. */
const syncShare = 0.25;

async function strike(
  { victims }: Installation,
  { kind, target, ms }: PlannedFault,
  killed: () => unknown,
): Promise<void> {
  const victim = victims.get(target)!;
  if (kind === "jump") victim.jump!(ms);
  else if (kind === "cut") victim.cutFor!(ms);
  else if (kind === "slow") {
    victim.slow!(ms * syncShare);
    await pause(ms); // how long it lasts
    victim.slow!(0);
  } else if (kind === "kill") {
    await victim.kill!();
    killed();
    await pause(ms); // how long it is away
    await victim.start();
  } else {
    await victim.freeze!();
    await pause(ms); // how long it stands still
    await victim.thaw!();
  }
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

function describe({ kind, target, ms }: PlannedFault): string {
  if (kind === "jump") return `clock of ${target} ${ms < 0 ? "back" : "ahead"} by ${seconds(Math.abs(ms))}`;
  if (kind === "slow") return `disk of ${target} slow for ${seconds(ms)}`;
  return `${kind} ${target} for ${seconds(ms)}`;
}

/** Whether it came in time. */
const inTime = (work: Promise<unknown>, withinMs: number): Promise<boolean> => {
  const stop = new AbortController();
  return Promise.race([
    work.then(() => true),
    pause(withinMs, false, { signal: stop.signal }), // a limit, not a wait
  ]).finally(() => stop.abort());
};

export const report = (verdicts: readonly Verdict[]): string =>
  verdicts
    .map(({ what, faults, figures, notJudged }) => {
      const sign = faults.length > 0 ? "✗" : notJudged === undefined ? "✓" : "–";
      const title = notJudged === undefined ? what : `${what}: not judged, ${notJudged}`;
      return [`${sign} ${title}`, `    ${figures}`, ...faults.map((fault) => `    ✗ ${fault}`)].join("\n");
    })
    .join("\n");
