import { randomUUID } from "node:crypto";
import { NotAssignedError, type Topic } from "@polder/core";
import { processStartedAt, type Environment } from "./environment.ts";

/**
 * One reader of a (topic, group) at a time, over all processes. The owner is written into LMDB; it counts as gone when its process has lost the file
 * lock that LMDB's readers hold, which the kernel takes away even after kill -9. Positions are committed under a check of the owner.
 */
export interface ReaderLock {
  /** The token of the new owner, undefined while another one is alive. */
  tryAcquire(): Promise<string | undefined>;
  /** The process of the owner, undefined when there is none or it seems to be gone. */
  livingOwner(): number | undefined;
  isHeld(token: string): boolean;
  /** For use inside a write transaction. */
  assertHeld(token: string): void;
  release(token: string): Promise<void>;
}

// A process may show no row in LMDB's reader table for the moment between two of its reads.
const sightingsBeforeTakeover = 3;

export function createReaderLock(environment: Environment, topic: Topic, group: string): ReaderLock {
  let missed = 0;

  const isFree = () => {
    const owner = environment.owner(topic, group);
    if (owner && environment.isProcessAlive(owner.pid, owner.processStartedAt)) missed = 0;
    else missed += 1;
    return owner === undefined || missed >= sightingsBeforeTakeover;
  };
  const isHeld = (token: string) => environment.owner(topic, group)?.token === token;

  return {
    async tryAcquire() {
      if (!isFree()) return undefined;
      const seen = environment.owner(topic, group)?.token;
      const token = randomUUID();
      const acquired = await environment.write(() => {
        if (environment.owner(topic, group)?.token !== seen) return false;
        environment.setOwner(topic, group, { pid: process.pid, processStartedAt, token });
        return true;
      });
      missed = 0;
      return acquired ? token : undefined;
    },
    livingOwner() {
      const owner = environment.owner(topic, group);
      return owner && environment.isProcessAlive(owner.pid, owner.processStartedAt) ? owner.pid : undefined;
    },
    isHeld,
    assertHeld(token) {
      if (!isHeld(token)) throw new NotAssignedError(`Another reader has taken over ${topic} for the group ${group}.`);
    },
    async release(token) {
      await environment.write(() => {
        if (isHeld(token)) environment.setOwner(topic, group, undefined);
      });
    },
  };
}
