/** A device process that is spawned, whatever it is to be, is a probe. */
import { runSpawnedDevice } from '../run-spawned.ts';
import { makeProbe } from './probe-device.ts';

await runSpawnedDevice(async () => makeProbe);
