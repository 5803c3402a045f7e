/** Runs so many jobs at a time, in order. @returns their results, in order. */
export const createLanes = (count) => async (jobs, run) => {
  const results = [];
  let next = 0;
  const lane = async () => {
    while (next < jobs.length) {
      const at = next++;
      results[at] = await run(jobs[at]);
    }
  };
  await Promise.all(Array.from({ length: count }, lane));
  return results;
};

/** One at a time, first come, first served. */
export const createTurns = () => {
  let last = Promise.resolve();
  return (act) => {
    const turn = last.then(act);
    last = turn.catch(() => {});
    return turn;
  };
};
