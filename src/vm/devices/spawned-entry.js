// Starts the program of a device process that is spawned with the compile cache on, as device-entry.js does for device processes.
import { enableCompileCache } from 'node:module';

enableCompileCache();
await import('../../jail/spawned-entry.ts');
