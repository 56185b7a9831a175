// Starts the program of what changes the root of such a process with the compile cache on, as device-entry.js does for device processes.
import { enableCompileCache } from 'node:module';

enableCompileCache();
await import('../../jail/root-entry.ts');
