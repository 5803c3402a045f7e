import { createBlockedCheck } from "../people/identity-rules.ts";
import { createMessageHash } from "../row/message-hash.ts";

/**
 * Hashes of the ids of one site under a key, as 64 bits: what is kept of whom was erased. ClickHouse computes the same as
 * `sipHash64Keyed((k0, k1), concat(site, '\0', 'd', anonymous_id))`, with `u` and the user id, and with `p`, the anonymous id, `\0` and the user id.
 */
export interface ErasedKeys {
  device(site: string, anonymousId: string): bigint;
  user(site: string, userId: string): bigint;
  /** One identity: this device with this user. */
  pair(site: string, anonymousId: string, userId: string): bigint;
}

/** @param key 128 bits as four words, the lowest first. */
export function createErasedKeys(key: Uint32Array): ErasedKeys {
  const hash = createMessageHash(key);
  const words = new Uint32Array(2);
  const value = new BigUint64Array(words.buffer);
  const of = (site: string, text: string): bigint => {
    hash(site, text, words, 0);
    return value[0]!;
  };
  return {
    device: (site, anonymousId) => of(site, `d${anonymousId}`),
    user: (site, userId) => of(site, `u${userId}`),
    pair: (site, anonymousId, userId) => of(site, `p${anonymousId}\0${userId}`),
  };
}

/** An identity of somebody who is to be erased. */
export interface ErasedIdentity {
  site: string;
  anonymousId: string;
  userId: string;
  /** Whether nobody else is seen with this device. */
  isOnlyUserOfDevice: boolean;
  /** Whether the user id is empty or stands for nobody by the rules of the site: it is then an identity of the device. */
  isNobody: boolean;
  /** Whether the device is empty or stands for nobody. */
  isNobodysDevice: boolean;
}

const { isBlockedId } = createBlockedCheck({ blocked: [] });

/** What has to be remembered of them, each once: under which ids something of theirs may come again. */
export function keysToErase(identities: readonly ErasedIdentity[], keys: ErasedKeys): bigint[] {
  const found = new Set<bigint>();
  for (const { site, anonymousId, userId, isOnlyUserOfDevice, isNobody, isNobodysDevice } of identities) {
    if (anonymousId === "" && userId === "") continue;
    const isOfDevice = !isNobodysDevice && (isOnlyUserOfDevice || isNobody);
    const isOfUser = !isNobody;
    if (isOfDevice) found.add(keys.device(site, anonymousId));
    if (isOfUser) found.add(keys.user(site, userId));
    // Of one id alone its key says the same.
    if (!(userId === "" && isOfDevice) && !(anonymousId === "" && isOfUser))
      found.add(keys.pair(site, anonymousId, userId));
  }
  return [...found];
}

/**
 * The keys of which one says that something with these ids is of the person with that key: a device says it only where no user is named, since
 * somebody else may log in on it. What stands for nobody at one site alone is not known here.
 */
export function keysOf(site: string, anonymousId: string, userId: string, keys: ErasedKeys): bigint[] {
  if (anonymousId === "" && userId === "") return [];
  const pair = keys.pair(site, anonymousId, userId);
  if (!isBlockedId(userId)) return [keys.user(site, userId), pair];
  return anonymousId === "" ? [pair] : [keys.device(site, anonymousId), pair];
}
