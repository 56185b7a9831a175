/** Which virtio devices a VM gets, what provides them, and where they are on the PCI bus. */
import type { BlockOption } from '../../cli/options/disk.ts';
import type { DiskExecutor, FsSpec, P9Spec, PmemSpec, RngSpec } from '../../device-process/device-spec.ts';
import { CrosvmError } from '../../errors.ts';
import type { VirtioDeviceName } from '../../virtio/device-types.ts';
import { fsTag } from '../../virtio/fs/fs-config.ts';
import type { VmConfig } from '../config.ts';
import { portName, resolveSerialPorts, type SerialPortConfig } from '../serial-ports.ts';
import type { KernelSource } from './kernel-source.ts';
import type { OwnSource } from './own-source.ts';
import { diskRequest } from './plan-disk.ts';
import { networkCards, socketDevices } from './plan-network.ts';
import { sharedFolderSpec } from './plan-shared-dir.ts';

/** What provides a device: another program that listens at a socket, the host's kernel, or a device of ours. */
export type DeviceSource = { readonly kind: 'socket'; readonly path: string } | KernelSource | OwnSource;

/** A device that is to be connected. */
export interface DevicePlan {
  /** For messages. */
  readonly name: string;
  readonly type: VirtioDeviceName;
  readonly source: DeviceSource;
  readonly maxQueueSize?: number | undefined;
  /** Whether the guest is offered packed queues, where the back end has them. */
  readonly packed?: boolean | undefined;
  /** Its device number on PCI bus 0. */
  readonly slot: number;
  /** Of a file system: the name that the guest mounts it by, if it is not the back end that has one. */
  readonly tag?: string | undefined;
  /** Nobody asked for it: a VM whose host does not let it be does without. */
  readonly optional?: boolean | undefined;
}

type Wanted = Omit<DevicePlan, 'slot'> & { readonly slot?: number | undefined };

const SLOTS = Array.from({ length: 30 }, (_, i) => i + 1);
const MIB = 1 << 20;

/**
 * In the order in which the guest finds them; `pmem` has the specification for each file that is memory. Throws
 * `E_PCI_ADDRESS` for a place that two want, and if there is no room; `E_OPTION` for a tag that two have, and `E_FS_TAG` or
 * `E_9P_TAG` for one that cannot be.
 */
export function planDevices(config: VmConfig, pmem: readonly PmemSpec[] = []): DevicePlan[] {
  const wanted = wantedDevices(config, pmem);
  checkTags(wanted);
  const taken = new Set<number>();
  for (const { slot } of wanted) {
    if (slot === undefined) continue;
    if (taken.has(slot)) fail(`two devices want the PCI address 00:${slot.toString(16).padStart(2, '0')}.0`);
    taken.add(slot);
  }
  const free = SLOTS.filter((slot) => !taken.has(slot));
  return wanted.map((device) => {
    const slot = device.slot ?? free.shift() ?? fail(`${wanted.length} devices do not fit on the PCI bus`);
    return { ...device, slot };
  });
}

/** By its tag a guest mounts a file system; those of the two protocols are no concern of each other. */
function checkTags(wanted: readonly Wanted[]): void {
  const seen = new Set<string>();
  for (const { type, source, tag = tagOfOwn(source) } of wanted) {
    if (tag === undefined) continue;
    if (type === 'fs') fsTag(tag);
    const key = `${type} ${tag}`;
    if (seen.has(key)) throw new CrosvmError('E_OPTION', `two shared folders have the tag "${tag}"`);
    seen.add(key);
  }
}

function tagOfOwn(source: DeviceSource): string | undefined {
  return source.kind === 'plain' && 'tag' in source.spec ? source.spec.tag : undefined;
}

function wantedDevices(config: VmConfig, pmem: readonly PmemSpec[]): Wanted[] {
  const bySocket = (type: VirtioDeviceName, paths: readonly string[]) => paths.map((path) => foreign(type, path));
  return [
    ...bySocket('gpu', config.vhostUserGpu),
    ...resolveSerialPorts(config.serial).consoles.map(virtioConsole),
    ...config.block.map((option) => disk(option, config.asyncExecutor)),
    ...bySocket('block', config.vhostUserBlk),
    ...bySocket('console', config.vhostUserConsole),
    ...pmem.map((spec, i) => {
      const { path, 'pci-address': slot } = config.pmem[i]!;
      return { ...plain(`the persistent memory ${path}`, spec), slot };
    }),
    // What is random would be so in each run of a deterministic VM.
    ...(config.noRng || config.deterministic !== undefined
      ? []
      : [{ ...plain('the entropy device', { type: 'rng' }), optional: true }]),
    ...balloon(config),
    ...networkCards(config).map((card) => ({ name: 'the network card', type: 'net' as const, ...card })),
    ...bySocket('net', config.vhostUserNet),
    ...socketDevices(config).map((device) => ({ name: 'the socket device', type: 'vsock' as const, ...device })),
    ...bySocket('vsock', config.vhostUserVsock),
    ...config.vhostUserFs.map(({ socket, tag }) => ({ ...foreign('fs', socket), tag })),
    ...config.sharedDir.map((folder) => plain(`the shared folder ${folder.path}`, sharedFolderSpec(folder))),
    ...bySocket('snd', config.vhostUserSnd),
    ...config.vhostUser.map((option) => ({
      ...foreign(option.type, option.socket),
      tag: tagOf(option),
      maxQueueSize: option['max-queue-size'],
      slot: option['pci-address'],
    })),
  ];
}

function foreign(type: VirtioDeviceName, path: string): Wanted {
  return { name: `the ${type} device at ${path}`, type, source: { kind: 'socket', path }, packed: true };
}

/** Throws `E_OPTION` for a device that has none. */
function tagOf({ type, tag }: VmConfig['vhostUser'][number]): string | undefined {
  if (tag === undefined || type === 'fs') return tag;
  throw new CrosvmError('E_OPTION', `only a file system has a tag, and not a device of type ${type}`);
}

function plain(name: string, spec: FsSpec | P9Spec | PmemSpec | RngSpec): Wanted {
  return { name, type: spec.type, source: { kind: 'plain', spec } };
}

function virtioConsole(port: SerialPortConfig): Wanted {
  return { name: portName(port), type: 'console', source: { kind: 'console', port } };
}

function disk(option: BlockOption, executor: DiskExecutor | undefined): Wanted {
  const { path, slot } = option;
  const request = diskRequest({ ...option, 'async-executor': option['async-executor'] ?? executor });
  const source = { kind: 'disk', disk: request } as const;
  return { name: `the disk ${path}`, type: 'block', source, slot, packed: option['packed-queue'] };
}

function balloon({
  noBalloon,
  deterministic,
  mem,
  initMem = mem,
  strictBalloon,
  balloonPageReporting,
}: VmConfig): Wanted[] {
  if (noBalloon || deterministic !== undefined) return [];
  const size = Math.max(0, mem - initMem) * MIB;
  const spec = { type: 'balloon', size, deflateOnOom: !strictBalloon, pageReporting: balloonPageReporting } as const;
  const optional = size === 0 && !strictBalloon && !balloonPageReporting;
  return [{ name: 'the memory balloon', type: 'balloon', source: { kind: 'balloon', spec }, optional }];
}

function fail(message: string): never {
  throw new CrosvmError('E_PCI_ADDRESS', message);
}
