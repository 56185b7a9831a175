import type { DeviceSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

/**
 * Makes the device that a specification describes, with its files open. Only the code of its own type is loaded: what a
 * process loads is most of what it costs. Throws what is wrong with the files.
 */
export async function createDevice(spec: DeviceSpec): Promise<MadeDevice> {
  switch (spec.type) {
    case 'balloon':
      return (await import('./create-balloon.ts')).createBalloon(spec);
    case 'block':
      return (await import('./create-block.ts')).createBlock(spec);
    case 'console':
      return { device: (await import('./create-console.ts')).createConsole(spec), orders: {} };
    case 'net':
      return { device: (await import('./create-net.ts')).createNet(spec), orders: {} };
    case 'rng':
      return { device: (await import('./create-rng.ts')).createRng(), orders: {} };
    case 'vsock':
      return { device: (await import('./create-vsock.ts')).createVsock(spec), orders: {} };
  }
}
