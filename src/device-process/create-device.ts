import type { DeviceSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

/** Makes the device that a specification describes, with its files open. Throws what is wrong with the files. */
export type DeviceMaker<S extends DeviceSpec = DeviceSpec> = (spec: S) => MadeDevice;

type DeviceType = DeviceSpec['type'];

/** Only the code of its own type is loaded for a device: what a process loads is most of what it costs. */
const LOADERS: { readonly [T in DeviceType]: () => Promise<DeviceMaker<Extract<DeviceSpec, { type: T }>>> } = {
  '9p': async () => (await import('./create-p9.ts')).createP9,
  balloon: async () => (await import('./create-balloon.ts')).createBalloon,
  block: async () => (await import('./create-block.ts')).createBlock,
  console: async () => (await import('./create-console.ts')).createConsole,
  fs: async () => (await import('./create-fs.ts')).createFs,
  net: async () => (await import('./create-net.ts')).createNet,
  rng: async () => (await import('./create-rng.ts')).createRng,
  vsock: async () => (await import('./create-vsock.ts')).createVsock,
};

export const DEVICE_TYPES = Object.keys(LOADERS) as DeviceType[];

export async function loadDeviceMaker(type: DeviceType): Promise<DeviceMaker> {
  return (await LOADERS[type]()) as DeviceMaker;
}
