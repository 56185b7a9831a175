// What the set-up tools say while they work: on standard error, so that standard output stays the guest's.

/**
 * Runs one step and shows it: a line at its start, on a terminal the seconds that it has taken so far, and the total.
 *
 * @template T
 * @param {string} text What is being done: `Downloading busybox-static (1 MB)`.
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function step(text, work) {
  const start = Date.now();
  const seconds = () => ((Date.now() - start) / 1000).toFixed(1);
  const live = process.stderr.isTTY === true;
  process.stderr.write(live ? `${text} ...` : `${text}\n`);
  const timer = live ? setInterval(() => process.stderr.write(`\r${text} ... ${seconds()} s`), 500) : undefined;
  try {
    const result = await work();
    if (live) process.stderr.write(`\r${text} ... ${seconds()} s, done\n`);
    return result;
  } catch (error) {
    if (live) process.stderr.write(`\r${text} ... failed after ${seconds()} s\n`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}
