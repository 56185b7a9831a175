import { fillRandom } from '../base/random.ts';
import { RngDevice } from '../virtio/rng/rng-device.ts';
import type { MadeDevice } from './made-device.ts';

export function createRng(): MadeDevice {
  return { device: new RngDevice((memory, start, length) => fillRandom(memory.address + start, length)) };
}
