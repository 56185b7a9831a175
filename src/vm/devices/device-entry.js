// Starts the program of a device process with the compile cache on. This is JavaScript, because to load the type stripper
// for one file takes longer than everything else here.
import { enableCompileCache } from 'node:module';

enableCompileCache();
await import('../../device-process/entry.ts');
