import { fillRandom } from '../base/random.ts';
import { RngDevice } from '../virtio/rng/rng-device.ts';

export function createRng(): RngDevice {
  return new RngDevice((memory, start, length) => fillRandom(memory.address + start, length));
}
