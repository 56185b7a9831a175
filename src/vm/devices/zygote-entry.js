// Starts the program of a zygote with the compile cache on, as device-entry.js does for device processes.
import { enableCompileCache } from 'node:module';

enableCompileCache();
await import('../../jail/zygote-entry.ts');
