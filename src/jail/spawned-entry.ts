/** The program of a device process that is spawned. */
import { runSpawnedDevice } from './run-spawned.ts';

await runSpawnedDevice();
