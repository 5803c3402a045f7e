import type { LoaderStatus } from "@polder/loader";
import { describe, expect, it } from "vitest";
import { createLoadWait } from "./replay-loaded.ts";

const topics = ["polder.events", "polder.rejected"] as const;

/** A loader and a log that are moved on by hand, before each look. */
function createScene(step: (scene: Scene, look: number) => void = () => {}) {
  const scene: Scene = {
    now: 0,
    ends: { "polder.events": 10, "polder.rejected": 0 },
    failure: undefined,
    status: {
      loaded: 0,
      duplicate: 0,
      refused: 0,
      erased: 0,
      partitions: 2,
      lastLoadedAt: undefined,
      blocked: [],
      positions: [],
    },
    positions: (...offsets) => {
      scene.status.positions = offsets.map((offset, i) => {
        const topic = topics[i]!;
        return { topic, partition: 0, offset, isReadingAgain: false };
      });
    },
  };
  scene.positions(4, 0);
  let look = 0;
  const wait = createLoadWait({
    log: {
      partitionCount: async () => 1,
      lag: async (topic) => {
        const at = scene.status.positions.find((position) => position.topic === topic)?.offset ?? 0;
        return new Map([[0, scene.ends[topic as "polder.events"] - at]]);
      },
    },
    loader: { status: () => scene.status, pausedWhile: (work) => work() },
    failure: () => scene.failure,
    clock: () => scene.now,
    wait: async () => step(scene, (look += 1)),
  });
  return { scene, wait, looks: () => look };
}

interface Scene {
  now: number;
  ends: { "polder.events": number; "polder.rejected": number };
  failure: string | undefined;
  status: LoaderStatus;
  positions: (...offsets: number[]) => void;
}

describe("all that the log holds is loaded", () => {
  it("when the position has passed what was its end, however much comes meanwhile", async () => {
    const { wait, looks } = createScene((scene, look) => {
      scene.ends["polder.events"] += 100;
      scene.positions(4 + look * 3, 0);
    });
    expect(await wait.allLoaded()).toEqual(new Map([[0, 10]]));
    expect(looks()).toBe(2);
  });

  it("when nothing waits, of every partition", async () => {
    const { scene, wait, looks } = createScene((changed, look) => look === 3 && changed.positions(10, 5));
    scene.positions(10, 2);
    scene.ends["polder.rejected"] = 5;
    await wait.allLoaded();
    expect(looks()).toBe(3);
  });

  it("not before what the tables have lost is loaded again", async () => {
    const { scene, wait, looks } = createScene((changed, look) => {
      if (look === 4) changed.status.positions[0]!.isReadingAgain = false;
    });
    scene.positions(10, 0);
    scene.status.positions[0]!.isReadingAgain = true;
    await wait.allLoaded();
    expect(looks()).toBe(4);
  });

  it.each([
    ["others hold a partition", (scene: Scene) => scene.positions(10), "Other loaders have 1 of 2 partitions"],
    ["nothing moves", (scene: Scene) => scene.positions(4, 0), "nothing was loaded for a minute"],
  ])("is given up after a minute in which %s", async (_, change, words) => {
    const { scene, wait, looks } = createScene((changed) => (changed.now += 10_000));
    change(scene);
    await expect(wait.allLoaded()).rejects.toThrow(words);
    expect(looks()).toBe(7);
  });

  it("is not given up while something moves", async () => {
    const { wait } = createScene((scene, look) => {
      scene.now += 50_000;
      scene.positions(4 + look, 0);
    });
    await wait.allLoaded();
  });

  it("is given up at once when loading has ended, or a person has to decide", async () => {
    const ended = createScene();
    ended.scene.failure = "Process 7 reads polder.events already";
    await expect(ended.wait.allLoaded()).rejects.toThrow("Loading stopped: Process 7");
    const { scene, wait } = createScene();
    scene.status.blocked.push({ topic: "polder.events", partition: 0, reason: "records left the log" });
    await expect(wait.allLoaded()).rejects.toThrow("records left the log");
  });
});

describe("while nothing is loaded", () => {
  it("begins nothing when somebody else loads", async () => {
    const { scene, wait } = createScene();
    scene.positions(10);
    let ran = false;
    await expect(wait.whileNothingIsLoaded(async () => void (ran = true))).rejects.toThrow("Other loaders have 1 of 2");
    expect(ran).toBe(false);
  });

  it("says so when somebody else began to load meanwhile", async () => {
    const { scene, wait } = createScene();
    await wait.whileNothingIsLoaded(async () => {});
    await expect(wait.whileNothingIsLoaded(async () => scene.positions(10))).rejects.toThrow("Other loaders have");
  });
});
