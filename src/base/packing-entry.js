// Starts a thread that compresses clusters. JavaScript, as threads are started from bundles, too.
await import('./packing-thread.ts');
