// All figures in a file that imports nothing: esbuild then writes them where they are used.

/** Of the cookie that keeps the choice: 13 months. */
export const choiceSeconds = 395 * 86_400;

/** A yes holds no longer. */
export const maxGrantDays = 365;
/** A refusal is asked again after six months at the earliest, */
export const leastRefusalDays = 184;
/** … counted from the end of the days that refusals of one period have in common. */
export const refusalPeriodDays = 30;

/** Without events for longer, a session has ended. */
export const sessionIdleMs = 30 * 60_000;

export const maxEventChars = 32_000;
/** Before a choice, in memory. */
export const maxBufferedEvents = 50;
export const maxBufferedMs = 30 * 60_000;

/** Two parcels fit into one request; one is a small write. */
export const maxParcelBytes = 27_000;
/** About what the context takes that the events of a parcel share. */
export const sharedBytes = 1000;
/** Of everything that waits on the device. */
export const maxStoredBytes = 4_000_000;
/** Of one request: what the browser finishes after the page is gone, see `keepaliveBytes`. */
export const maxBatchBytes = 54_500;
/** All keepalive requests of a page share 64 KiB, other scripts' included, until their answers have been read. */
export const keepaliveBytes = 60_000;

export const requestTimeoutMs = 30_000;
/** Until the collector's answer opt_in holds, and what an earlier page left stays unread. */
export const regimeTimeoutMs = 5000;
export const databaseTimeoutMs = 1000;
/** Longer than a request: only a tab that hangs makes others give up. */
export const lockTimeoutMs = 40_000;
export const maxBackoffMs = 300_000;
/** A later end than this is a clock that was wrong. */
export const maxPauseMs = 86_400_000;

/** Of a text that may be a whole page: more is not looked at. */
export const maxReadChars = 999;
/** Of what a clicked element says. */
export const maxTextChars = 80;

/** Of what `debug` shows of the time before it was called. */
export const maxTraced = 100;
