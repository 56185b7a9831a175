import type { VirtioDevice } from '../virtio/device.ts';
import type { DeviceSpec } from './device-spec.ts';

/**
 * Makes the device that a specification describes, with its files open. Only the code of its own type is loaded: what a
 * process loads is most of what it costs. Throws what is wrong with the files.
 */
export async function createDevice(spec: DeviceSpec): Promise<VirtioDevice> {
  switch (spec.type) {
    case 'block':
      return (await import('./create-block.ts')).createBlock(spec);
    case 'console':
      return (await import('./create-console.ts')).createConsole(spec);
    case 'rng':
      return (await import('./create-rng.ts')).createRng();
  }
}
