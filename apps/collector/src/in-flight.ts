/**
 * What has been let in and not answered yet. Past a bound nothing more is: a client can wait, a full heap cannot.
 *
 * Bytes are counted as they come, not as they are announced, so a client that promises much and sends nothing takes nothing from others. Each
 * holder (the address that sends, then the site that it is for) may hold as much as is still free: one takes half at most, two a third each, and a
 * newcomer always finds room.
 */
export interface InFlight {
  open(holder: string): Held;
  /** Being received, or waiting to be durable. */
  requests(): number;
  bytes(): number;
  /** Resolves when nobody is in. */
  empty(): Promise<void>;
}

/** One request. */
export interface Held {
  /** False, with nothing added, when the holder has its share. */
  add(bytes: number): boolean;
  /**
   * All of the request has been received: it waits in the name of this holder, with so many bytes more. False when there are too many, or the holder
   * has its share.
   */
  moveTo(holder: string, bytes: number): boolean;
  /** Once, at the end. */
  leave(): void;
}

/** What a request that waits holds besides its body and its rows: its objects and those of its connection, about. */
const waitingBytes = 4096;

export function createInFlight(limits: { maxRequests: number; maxBytes: number }): InFlight {
  const held = new Map<string, number>();
  let open = 0;
  let waiting = 0;
  let bytes = 0;
  let idle: (() => void)[] = [];

  const mayHold = (holder: string, added: number): boolean =>
    bytes === 0 || (held.get(holder) ?? 0) + added <= limits.maxBytes - bytes;
  const give = (holder: string, added: number): void => {
    const left = (held.get(holder) ?? 0) + added;
    if (left === 0) held.delete(holder);
    else held.set(holder, left);
  };

  return {
    open(first) {
      let holder = first;
      let own = 0;
      let isWaiting = false;
      open++;
      const take = (added: number): void => {
        own += added;
        bytes += added;
        give(holder, added);
      };
      return {
        add(added) {
          if (!mayHold(holder, added)) return false;
          take(added);
          return true;
        },
        moveTo(next, added) {
          const before = own;
          const after = before + waitingBytes + added;
          if (waiting >= limits.maxRequests) return false;
          // Judged as if it came only now, or what it holds already would count against it twice.
          take(-before);
          const isAllowed = mayHold(next, after);
          if (isAllowed) {
            holder = next;
            isWaiting = true;
            waiting++;
          }
          take(isAllowed ? after : before);
          return isAllowed;
        },
        leave() {
          take(-own);
          open--;
          if (isWaiting) waiting--;
          if (open > 0) return;
          const resolvers = idle;
          idle = [];
          for (const resolve of resolvers) resolve();
        },
      };
    },
    requests: () => open,
    bytes: () => bytes,
    empty: () => (open === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve))),
  };
}
