import { choiceCookieName } from "@polder/protocol";
import { promisifyRequest } from "idb-keyval";
import { attempt, localKeys, readLocal, writeLocal } from "./device-storage.ts";
import { databaseTimeoutMs, maxParcelBytes, maxStoredBytes, sharedBytes } from "./limits.ts";
import { randomId } from "./random-id.ts";
import type { Counts, ReceiptBook } from "./receipt.ts";

/** Events that are stored, sent and forgotten together. */
export interface Parcel {
  /** Sorts by time, and within a page in the order of its calls. */
  key: string;
  /** The context that all of them share. */
  shared: object;
  /** As JSON. */
  events: string[];
  /** Of the events, in UTF-8. */
  bytes: number;
  /** What had been counted when it was sealed: kept, handed on and sent with it. */
  counts?: Counts | undefined;
  /** The database has confirmed it. Said in memory only. */
  isSaved?: boolean;
}

// Mostly ASCII, which need not be encoded to be counted.
const sizeOf = (text: string): number =>
  /[^\0-\x7f]/.test(text) ? new TextEncoder().encode(text).length : text.length;

/**
 * Where events wait: in memory, and from the end of the task that made them in IndexedDB: one transaction for all of a burst, a record a
 * parcel. What the database has not confirmed when the page leaves goes to localStorage, the only storage that is synchronous.
 * @param name of the database.
 * @param mayStore whether the visitor's choice lets anything stay on the device.
 */
export const createOutbox = (name: string, mayStore: () => boolean, receipt: ReceiptBook) => {
  const handOffPrefix = `polder_out.${name}.`;
  const handOffKey = handOffPrefix + randomId();
  /** All that waits, as far as this page knows. Another object after a wipe. */
  let known: { [key: string]: Parcel } = {};
  let open: Parcel | undefined;
  let order = 0;
  let turn: Promise<unknown> = Promise.resolve();

  const ask = async <T>(run: (parcels: IDBObjectStore) => T): Promise<T | undefined> => {
    if (!mayStore()) return;
    const before = known;
    const request = indexedDB.open(name);
    request.onupgradeneeded = () => request.result.createObjectStore(name);
    const db = await promisifyRequest(request);
    const transaction = db.transaction(name, "readwrite");
    // Closes after the transaction. Left open, it would keep other tabs from deleting the database, and the page out of the back/forward cache.
    db.close();
    // Wiped since then: this database is about to go.
    if (known !== before) return;
    const result = run(transaction.objectStore(name));
    await promisifyRequest(transaction);
    return result;
  };

  /**
   * What `run` returned, once the database has confirmed it; undefined where there is none, it is full, or it does not answer, as some
   * versions of WebKit do not: what is in memory must not wait for them. One after the other.
   */
  const database = <T>(run: (parcels: IDBObjectStore) => T) =>
    (turn = turn
      .then(() => Promise.race([ask(run), new Promise((late) => setTimeout(late, databaseTimeoutMs))]))
      .catch(() => {})) as Promise<T | undefined>;

  /** All that this page knows of, in order. What is added from here on goes into other parcels. */
  const seal = (): Parcel[] => {
    if (open) open.counts = receipt.take();
    open = undefined;
    return Object.keys(known)
      .sort()
      .map((key) => known[key]!);
  };

  const unsaved = (): Parcel[] => seal().filter(({ isSaved }) => !isSaved);

  /** Forgets these, and saves what is not saved yet, at once. */
  const write = async (gone: Parcel[] = []): Promise<void> => {
    for (const { key } of gone) delete known[key];
    const saved = await database((parcels) => {
      for (const { key } of gone) parcels.delete(key);
      const saving = unsaved();
      for (const parcel of saving) parcels.put(parcel, parcel.key);
      return saving;
    });
    for (const parcel of saved ?? []) parcel.isSaved = true;
  };

  const put = (key: string, shared: object, event: string, counts?: Counts): Parcel =>
    (known[key] = { key, shared, events: [event], bytes: sizeOf(event), counts });

  const drop = (gone: Parcel[], reason: string): Promise<void> => {
    receipt.gather(gone, reason);
    return write(gone);
  };

  /** The oldest go when there is too much, as while a collector is away for long. */
  const makeRoom = (): void => {
    let room = maxStoredBytes;
    const gone = seal()
      .reverse()
      .filter(({ bytes }) => (room -= bytes + sharedBytes) < 0);
    if (gone[0]) void drop(gone, "outbox_full");
  };

  return {
    mayStore,
    seal,
    /** Gone from memory at once, and from the database when it resolves. */
    remove: write,
    /** Removes and counts. */
    drop,
    /** @param shared is read when it is stored and again when it is sent, so a title that is set late is not missed. */
    add(shared: object, event: string): void {
      // Runs after this task, for all that it adds.
      if (!open) void write();
      if (open?.shared === shared && open.bytes + sizeOf(event) < maxParcelBytes) {
        open.events.push(event);
        open.bytes += sizeOf(event);
      } else {
        makeRoom();
        // Never the same twice, nor lower: that is what keeps the order.
        order = Math.max(order + 1, Date.now());
        open = put(order + handOffKey, shared, event);
      }
    },

    /** Into parcels of one event each, in the place of these: for a collector that takes less at once. */
    cut(parcels: Parcel[]): Promise<void> {
      for (const { key, shared, events, counts } of parcels) {
        // Not what was wiped while it was under way.
        if (known[key]) events.forEach((event, i) => put(`${key}.${1e4 + i}`, shared, event, i ? {} : counts));
      }
      return write(parcels);
    },

    /** Leaves what the database has not confirmed where the next page finds it. */
    handOff(): void {
      const left = unsaved();
      writeLocal(handOffKey, left[0] && mayStore() ? JSON.stringify(left) : "");
    },

    /**
     * All that waits on this device, of pages that are gone as well, in order. The oldest make room when there is too much.
     * @param look runs once the device has been read, before anything is said to be waiting.
     */
    async stored(look: () => void): Promise<Parcel[]> {
      const left = localKeys(handOffPrefix);
      for (const key of left) {
        // One may have been cut off while it was written.
        attempt(() => (JSON.parse(readLocal(key)) as Parcel[]).forEach((parcel) => (known[parcel.key] = parcel)));
      }
      await write();
      for (const key of left) writeLocal(key, "");
      const before = known;
      const found = (await database((parcels) => parcels.getAll() as IDBRequest<Parcel[]>))?.result;
      look();
      // A choice since then may have wiped it all. What is gone from the database has been answered for in another tab.
      if (found && known === before) {
        found.push(...unsaved());
        known = {};
        for (const parcel of found) known[parcel.key] = before[parcel.key] ?? { ...parcel, isSaved: true };
      }
      makeRoom();
      return seal();
    },

    /** Everything of ours on this device is gone, but for the choice. */
    wipe(): void {
      seal();
      known = {};
      for (const key of localKeys("polder_")) if (key !== choiceCookieName) writeLocal(key, "");
      attempt(() => {
        indexedDB.deleteDatabase(name);
        // Of the other sites of this origin, whose choice it is as well.
        indexedDB
          .databases()
          .then(
            (all) =>
              mayStore() ||
              all.forEach(({ name: other }) => other!.startsWith("polder_") && indexedDB.deleteDatabase(other!)),
          )
          .catch(() => {});
      });
    },
  };
};

export type Outbox = ReturnType<typeof createOutbox>;
