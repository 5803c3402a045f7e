/** How long a test waits for anything that comes by itself. A limit, not a promise: a machine may be ten times as slow as this one. */
export const patienceMs = 120_000;

/**
 * How long what takes a second at most may take in a test: the machine has other work, and its scheduler no part in the promise.
 * Far less than what it would take if it were not done at once (a request gives up after thirty seconds).
 */
export const patientSecondMs = 15_000;
