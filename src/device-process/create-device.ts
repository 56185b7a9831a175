import type { DeviceSpec } from './device-spec.ts';
import type { MadeDevice, PreparedDevice } from './made-device.ts';

/** Opens what a device needs, as a specification says. Throws what is wrong with that. */
export type DeviceMaker<S extends DeviceSpec = DeviceSpec> = (spec: S) => PreparedDevice;

type DeviceType = DeviceSpec['type'];

/** Only the code of its own type is loaded for a device: what a process loads is most of what it costs. */
const LOADERS: { readonly [T in DeviceType]: () => Promise<DeviceMaker<Extract<DeviceSpec, { type: T }>>> } = {
  '9p': async () => (await import('./create-p9.ts')).prepareP9,
  balloon: async () => atOnce((await import('./create-balloon.ts')).createBalloon),
  block: async () => (await import('./create-block.ts')).prepareBlock,
  console: async () => atOnce((await import('./create-console.ts')).createConsole),
  fs: async () => (await import('./create-fs.ts')).prepareFs,
  net: async () => atOnce((await import('./create-net.ts')).createNet),
  pmem: async () => atOnce((await import('./create-pmem.ts')).createPmem),
  rng: async () => atOnce((await import('./create-rng.ts')).createRng),
  vsock: async () => (await import('./create-vsock.ts')).prepareVsock,
};

/** For devices that read nothing that others have written before a driver is there. */
function atOnce<S extends DeviceSpec>(create: (spec: S) => MadeDevice): DeviceMaker<S> {
  return (spec) => {
    const made = create(spec);
    return { finish: () => made };
  };
}

export const DEVICE_TYPES = Object.keys(LOADERS) as DeviceType[];

export async function loadDeviceMaker(type: DeviceType): Promise<DeviceMaker> {
  return (await LOADERS[type]()) as DeviceMaker;
}
