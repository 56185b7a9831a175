// A reporter for node:test that writes one line of JSON: how many tests passed, failed and were skipped in the whole run.

/**
 * @param {AsyncIterable<{ type: string, data: unknown }>} events
 * @returns {AsyncGenerator<string, void>}
 */
export default async function* counts(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:summary') continue;
    const summary = /** @type {{ file?: string, counts: Record<string, number> }} */ (data);
    // Each file has a summary of its own; the one of the run names no file.
    if (summary.file !== undefined) continue;
    const { passed = 0, failed = 0, cancelled = 0, skipped = 0, todo = 0 } = summary.counts;
    yield `${JSON.stringify({ passed, failed: failed + cancelled, skipped: skipped + todo })}\n`;
  }
}
