/** A device of each type, with a host that is memory only. */
import type { Random } from '../../e2e/differential/random.ts';
import { MemoryStore } from '../../src/disk/memory-store.ts';
import { RawDisk } from '../../src/disk/raw.ts';
import { HeldEngine } from '../../src/disk/testing/held-engine.ts';
import type { TransferEngine } from '../../src/disk/transfer-engine.ts';
import { DEFAULT_FUSE_OPTIONS } from '../../src/fuse/fuse-options.ts';
import type { ChangeListener, FolderChanges } from '../../src/host-folder/folder-changes.ts';
import { MemoryFolder } from '../../src/host-folder/memory/memory-folder.ts';
import { Name } from '../../src/host-folder/name.ts';
import type { HostMemory, ScatterList } from '../../src/memory/scatter-list.ts';
import { DEFAULT_P9_OPTIONS } from '../../src/p9/p9-options.ts';
import { BalloonDevice } from '../../src/virtio/balloon/balloon-device.ts';
import { BlockDevice } from '../../src/virtio/block/block-device.ts';
import { ConsoleDevice } from '../../src/virtio/console/console-device.ts';
import type { PortOptions } from '../../src/virtio/console/console-port.ts';
import type { VirtioDevice } from '../../src/virtio/device.ts';
import { FsDevice } from '../../src/virtio/fs/fs-device.ts';
import { NetDevice } from '../../src/virtio/net/net-device.ts';
import type { NetPort } from '../../src/virtio/net/net-port.ts';
import { P9Device } from '../../src/virtio/p9/p9-device.ts';
import { PmemDevice } from '../../src/virtio/pmem/pmem-device.ts';
import { RngDevice } from '../../src/virtio/rng/rng-device.ts';
import { VsockDevice } from '../../src/virtio/vsock/vsock-device.ts';
import type { VsockStream } from '../../src/virtio/vsock/vsock-host.ts';

const DISK_SIZE = 64 * 512;
export const GUEST_CID = 3;

export const DEVICES: Readonly<Record<string, (random: Random) => VirtioDevice>> = {
  '9p': () => new P9Device('fuzz', new MemoryFolder(), DEFAULT_P9_OPTIONS),
  balloon: () => new BalloonDevice(zero, { deflateOnOom: true, pageReporting: true, size: 1 << 20 }),
  block: (random) => diskOf(random, random.chance(0.5) ? new LazyEngine(random) : undefined),
  console: (random) => {
    const ports = Array.from({ length: 1 + random.below(3) }, (_, i) => consolePort(random, i));
    return new ConsoleDevice(ports as [PortOptions, ...PortOptions[]]);
  },
  fs: (random) => {
    const timer = { fd: 300, set: () => {}, clear: () => {}, close: () => {} };
    const setup = { tag: 'fuzz', queues: 1 + random.below(3), window: 0, options: DEFAULT_FUSE_OPTIONS };
    return new FsDevice(setup, random.chance(0.5) ? new ChangingFolder(random) : new MemoryFolder(1 << 20), timer);
  },
  net: (random) => {
    const ports = Array.from({ length: 1 + random.below(3) }, (_, i) => netPort(random, 100 + i));
    return new NetDevice(ports, { mac: undefined, mtu: 1500, offloads: true });
  },
  pmem: (random) =>
    new PmemDevice(
      { start: 2 ** 32, size: 2 << 20 },
      () => {
        if (random.chance(0.2)) throw new Error('EIO');
      },
      () => {},
    ),
  rng: (random) =>
    new RngDevice(({ bytes }, start, length) => {
      for (let i = 0; i < length; i++) bytes[start + i] = random.u32();
    }),
  vsock: (random) => {
    let next = 200;
    const accept = () => (random.chance(0.5) ? vsockStream(random, next++) : undefined);
    return new VsockDevice(GUEST_CID, { connect: accept, accept, listenFd: 199, close: () => {} });
  },
};

/** A disk that is memory; without an engine it watches nothing. */
export function diskOf(random: Random, engine?: TransferEngine): BlockDevice {
  const disk = new RawDisk(new MemoryStore('disk', new Uint8Array(DISK_SIZE), random.chance(0.8)), false);
  const options = { blockSize: 512, sparse: random.chance(0.5), queues: 1 + random.below(3), id: 'fuzz' };
  return new BlockDevice(disk, options, engine);
}

/** A folder in which something happens whenever it is asked. */
class ChangingFolder extends MemoryFolder {
  readonly #random: Random;

  constructor(random: Random) {
    super(1 << 20);
    this.#random = random;
  }

  watchChanges(): FolderChanges {
    const random = this.#random;
    const watched = () => Array.from({ length: random.below(100) }, () => random.u32());
    const skip = (listener: ChangeListener) => {
      if (random.chance(0.1)) listener.changesLost();
    };
    const tell = (listener: ChangeListener) => {
      for (let i = random.chance(0.01) ? 5000 : random.below(10); i > 0; i--) {
        listener.nameChanged(random.u32(), Name.of('x'.repeat(1 + random.below(255))));
        listener.dataChanged(random.u32());
        listener.attributesChanged(random.u32());
      }
      skip(listener);
    };
    return { fd: 301, watched, tell, skip, close: () => {} };
  }
}

/** Ends some of what it has whenever it gets more, in any order. */
class LazyEngine extends HeldEngine {
  readonly #random: Random;

  constructor(random: Random) {
    super(1 + random.below(20));
    this.#random = random;
  }

  override submit(): void {
    while (this.held.length > 0 && this.#random.chance(0.5)) {
      this.end(this.#random.below(this.held.length), this.#random.pick(['done', 'done', 'failed', 'refused']));
    }
  }
}

function zero({ bytes }: HostMemory, start: number, length: number): void {
  bytes.fill(0, start, start + length);
}

/** Some of the list is filled; or nothing is there, or the end. */
function read(random: Random, list: ScatterList): number {
  const n = random.below(4) - 1;
  return n <= 0 ? n : list.copyFrom(new Uint8Array(1 + random.below(3000)).fill(random.u32()));
}

function write(random: Random, list: ScatterList, from: number): number {
  if (random.chance(0.1)) throw new Error('EPIPE');
  return random.chance(0.2) ? -1 : Math.min(list.length - from, 1 + random.below(3000));
}

function consolePort(random: Random, index: number): PortOptions {
  const close = () => {};
  return {
    name: `port${index}`,
    isConsole: random.chance(0.5),
    input: { fd: 10 + index, read: (list) => read(random, list), close },
    output: { fd: 20 + index, write: (list, from) => write(random, list, from), close },
  };
}

function netPort(random: Random, fd: number): NetPort {
  const nothing = () => {};
  return {
    fd,
    receive: (list) => (random.chance(0.5) ? -1 : list.copyFrom(new Uint8Array(1 + random.below(5000)))),
    send: () => random.chance(0.8),
    setOffloads: nothing,
    setActive: nothing,
    close: nothing,
  };
}

function vsockStream(random: Random, fd: number): VsockStream {
  const nothing = () => {};
  return {
    fd,
    read: (list) => read(random, list),
    write: (list, from) => write(random, list, from),
    endWriting: nothing,
    close: nothing,
  };
}
