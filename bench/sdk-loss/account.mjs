// @ts-check
/**
 * @typedef {object} Sighting of an event in a request that reached the collector whole
 * @property {number} at
 * @property {number} status what it was answered
 * @property {string | undefined} id that the SDK gave the event
 * @property {number} mayRetryAt the earliest time that the answer asked for; `at` when it asked for none
 */

// Around the moment a tab goes away: what it sends then is answered to nobody.
const beforeLeavingMs = 200;
const afterLeavingMs = 2_000;

const isAccepted = (/** @type {Sighting} */ { status }) => status < 300;

/** What a collector has seen of each event, which it knows by a mark that the page put into its properties. */
export function createAccount() {
  /** @type {Map<string, Sighting[]>} */
  const seen = new Map();
  const arrived = () => [...seen.values()].filter((sightings) => sightings.some(isAccepted)).length;

  return {
    see(/** @type {string} */ mark, /** @type {Sighting} */ sighting) {
      seen.set(mark, [...(seen.get(mark) ?? []), sighting]);
    },
    /** How many different events have been accepted. */
    arrived,
    /** @param {readonly number[]} leftAt when tabs went away */
    summary(leftAt = []) {
      const events = [...seen.values()];
      const accepted = events.map((sightings) => sightings.filter(isAccepted));
      const isUnknown = (/** @type {number} */ at) =>
        leftAt.some((left) => at > left - beforeLeavingMs && at < left + afterLeavingMs);
      return {
        arrived: arrived(),
        duplicates: accepted.reduce((sum, { length }) => sum + Math.max(0, length - 1), 0),
        /** Events sent again although their tab was there to read that they had been accepted. */
        needlessDuplicates: accepted.filter(([first, second]) => first && second && !isUnknown(first.at)).length,
        changedIds: events.filter((sightings) => new Set(sightings.map(({ id }) => id)).size > 1).length,
      };
    },
    /** How refused events came again. */
    retries() {
      const early = new Set();
      let firstRetryMs = Infinity;
      for (const sightings of seen.values()) {
        sightings.slice(1).forEach(({ at }, i) => {
          const { at: first } = /** @type {Sighting} */ (sightings[0]);
          firstRetryMs = Math.min(firstRetryMs, at - first);
          if (at < /** @type {Sighting} */ (sightings[i]).mayRetryAt) early.add(at);
        });
      }
      // Requests, not events: many that come again together are one.
      return { earlyRetries: early.size, ...(firstRetryMs < Infinity && { firstRetryMs }) };
    },
  };
}
