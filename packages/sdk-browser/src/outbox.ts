import { choiceCookieName } from "@polder/protocol";
import { createStore, promisifyRequest, type UseStore } from "idb-keyval";
import { localKeys, readLocal, writeLocal } from "./device-storage.ts";
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

// Two parcels fit into one keepalive request; one is a small write.
const maxParcelChars = 27_000;
const maxStoredChars = 4_000_000;
const handOffPrefix = "polder_out.";

/**
 * Where events wait: in memory, from `save` on in IndexedDB (one record a parcel, never the whole queue), and from `handOff` on, as far
 * as IndexedDB has not confirmed them, in localStorage: the only storage that is synchronous when a page leaves.
 * @param name of the database.
 * @param mayStore whether the visitor's choice lets anything stay on the device.
 */
export const createOutbox = (name: string, mayStore: () => boolean, receipt: ReceiptBook) => {
  const handOffKey = handOffPrefix + randomId();
  const unsaved = new Map<string, Parcel>();
  let open: Parcel | undefined;
  let store: UseStore | undefined;
  let order = 1e6;

  const database = async <T>(
    mode: IDBTransactionMode,
    run: (parcels: IDBObjectStore) => T | PromiseLike<T>,
  ): Promise<T> => {
    if (!mayStore()) throw name;
    const opened = (store ??= createStore(name, "parcels"));
    return opened(mode, (parcels) => {
      const { db } = parcels.transaction;
      // A database is deleted when every tab has closed it: whoever is asked to, lets go.
      db.onversionchange = () => {
        db.close();
        if (store === opened) store = undefined;
      };
      return run(parcels);
    });
  };

  /** What is in memory, as it is now: what is added from here on goes into other parcels. */
  const seal = (): Parcel[] => {
    open = undefined;
    return [...unsaved.values()];
  };
  const handOff = (): void => writeLocal(handOffKey, unsaved.size && mayStore() ? JSON.stringify(seal()) : "");

  const settle = (gone: Parcel[]): void => {
    for (const { key } of gone) unsaved.delete(key);
    // Only where there is one: a page that stays writes nothing to localStorage.
    if (readLocal(handOffKey)) handOff();
  };

  const remove = (gone: Parcel[]): void => {
    settle(gone);
    database("readwrite", (parcels) => gone.forEach(({ key }) => parcels.delete(key))).catch(() => {});
  };

  /** Until it is confirmed, and where there is no IndexedDB, the parcels stay in memory. */
  const save = async (): Promise<void> => {
    const saving = seal();
    await database("readwrite", (parcels) => {
      for (const parcel of saving) parcels.put(parcel, parcel.key);
      return promisifyRequest(parcels.transaction);
    }).then(
      () => settle(saving),
      () => {},
    );
  };

  return {
    mayStore,
    /** @param shared is read when it is stored or sent, so a title that is set late is not missed. */
    add(shared: object, event: string, maxChars = maxParcelChars): void {
      if (open?.shared !== shared || open.chars + event.length > maxChars) {
        open = { key: `${Date.now()}.${order++}.${randomId()}`, shared, events: [], chars: 0 };
        unsaved.set(open.key, open);
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
      for (const key of left) {
        try {
          for (const parcel of JSON.parse(readLocal(key)) as Parcel[]) unsaved.set(parcel.key, parcel);
        } catch {
          // Cut off while it was written.
        }
      }
      if (left.length) await save();
      for (const key of left) writeLocal(key, "");
      const found = await database("readonly", (parcels) => promisifyRequest<Parcel[]>(parcels.getAll())).catch(
        () => [],
      );
      const all = [...found, ...seal()].reverse();
      let room = maxStoredChars;
      const kept = all.filter(({ chars }) => (room -= chars) > 0);
      const gone = all.slice(kept.length);
      if (gone.length) {
        receipt.count("outbox_full", gone.flatMap(({ events }) => events).length);
        remove(gone);
      }
      return kept.reverse();
    },

    /** Everything of ours on this device is gone, but for the choice. */
    wipe(): void {
      open = store = undefined;
      unsaved.clear();
      for (const key of localKeys("polder_")) if (key !== choiceCookieName) writeLocal(key, "");
      try {
        indexedDB.deleteDatabase(name);
      } catch {
        // There is none here.
      }
    },
  };
};

export type Outbox = ReturnType<typeof createOutbox>;
