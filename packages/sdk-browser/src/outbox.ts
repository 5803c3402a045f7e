import { choiceCookieName } from "@polder/protocol";
import { promisifyRequest } from "idb-keyval";
import { attempt, localKeys, readLocal, writeLocal } from "./device-storage.ts";
import { maxParcelChars, maxStoredChars } from "./limits.ts";
import { randomId } from "./random-id.ts";
import type { ReceiptBook } from "./receipt.ts";

/** Events that are stored, sent and forgotten together. */
export interface Parcel {
  /** Sorts by time. */
  key: string;
  /** The context that all of them share. */
  shared: object;
  /** As JSON. */
  events: string[];
  /** Length of the events. */
  chars: number;
}

const handOffPrefix = "polder_out.";

/** The first of them that have room together; always one, however long it is. */
export const fit = (parcels: Parcel[], room: number): Parcel[] =>
  parcels.filter(({ chars }, i) => (room -= chars) > 0 || !i);

export const countEvents = (parcels: Parcel[]): number => parcels.flatMap(({ events }) => events).length;

/**
 * Where events wait: in memory, from `save` on in IndexedDB (one record a parcel, never the whole queue), and from `handOff` on, as far
 * as IndexedDB has not confirmed them, in localStorage: the only storage that is synchronous when a page leaves.
 * @param name of the database.
 * @param mayStore whether the visitor's choice lets anything stay on the device.
 */
export const createOutbox = (name: string, mayStore: () => boolean, receipt: ReceiptBook) => {
  const handOffKey = handOffPrefix + randomId();
  let unsaved: Parcel[] = [];
  let open: Parcel | undefined;
  let order = 1e6;

  /** What `run` returned, once the database has confirmed it; undefined where there is none, or it is full. */
  const database = async <T>(run: (parcels: IDBObjectStore) => T): Promise<T | undefined> => {
    if (!mayStore()) return;
    try {
      const request = indexedDB.open(name);
      request.onupgradeneeded = () => request.result.createObjectStore(name);
      const db = await promisifyRequest(request);
      const transaction = db.transaction(name, "readwrite");
      // Closes after the transaction. Left open, it would keep other tabs from deleting the database, and the page out of the back/forward cache.
      db.close();
      const result = run(transaction.objectStore(name));
      await promisifyRequest(transaction);
      return result;
    } catch {
      // Undefined.
    }
  };

  /** What is in memory, as it is now: what is added from here on goes into other parcels. */
  const seal = (): Parcel[] => {
    open = undefined;
    return [...unsaved];
  };

  const handOff = (): void => writeLocal(handOffKey, unsaved[0] && mayStore() ? JSON.stringify(seal()) : "");

  const settle = (gone: Parcel[]): void => {
    unsaved = unsaved.filter((parcel) => !gone.includes(parcel));
    // Only where there is one: a page that stays writes nothing to localStorage.
    if (readLocal(handOffKey)) handOff();
  };

  const remove = (gone: Parcel[]): void => {
    settle(gone);
    void database((parcels) => gone.forEach(({ key }) => parcels.delete(key)));
  };

  /** Until it is confirmed, and where there is no IndexedDB, the parcels stay in memory. */
  const save = async (): Promise<void> => {
    const saving = seal();
    if (saving[0] && (await database((parcels) => saving.map((parcel) => parcels.put(parcel, parcel.key)))))
      settle(saving);
  };

  return {
    mayStore,
    /** @param shared is read when it is stored or sent, so a title that is set late is not missed. */
    add(shared: object, event: string, maxChars = maxParcelChars): void {
      if (open?.shared !== shared || open.chars + event.length > maxChars) {
        open = { key: `${Date.now()}.${order++}.${handOffKey}`, shared, events: [], chars: 0 };
        unsaved.push(open);
      }
      open.events.push(event);
      open.chars += event.length;
    },
    seal,
    save,
    remove,
    handOff,

    /** All that waits on this device, of pages that are gone as well, oldest first. The oldest make room when there is too much. */
    async stored(): Promise<Parcel[]> {
      const left = localKeys(handOffPrefix).filter((key) => key !== handOffKey);
      // One may have been cut off while it was written.
      for (const key of left) attempt(() => unsaved.push(...(JSON.parse(readLocal(key)) as Parcel[])));
      await save();
      for (const key of left) writeLocal(key, "");
      const found = (await database((parcels) => parcels.getAll() as IDBRequest<Parcel[]>))?.result ?? [];
      const all = [...found, ...seal()].reverse();
      const kept = fit(all, maxStoredChars);
      const gone = all.slice(kept.length);
      if (gone[0]) {
        receipt.count("outbox_full", countEvents(gone));
        remove(gone);
      }
      return kept.reverse();
    },

    /** Everything of ours on this device is gone, but for the choice. */
    wipe(): void {
      unsaved = [];
      seal();
      for (const key of localKeys("polder_")) if (key !== choiceCookieName) writeLocal(key, "");
      attempt(() => indexedDB.deleteDatabase(name));
    },
  };
};

export type Outbox = ReturnType<typeof createOutbox>;
