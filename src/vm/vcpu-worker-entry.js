// Starts the program of a vCPU thread with the compile cache on: each thread has to ask for it anew. This is JavaScript,
// because to load the type stripper for one file takes longer than everything else here.
import { enableCompileCache } from 'node:module';

enableCompileCache();
await import('./vcpu-worker.ts');
