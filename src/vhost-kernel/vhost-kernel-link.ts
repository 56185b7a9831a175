import { EventFd } from '../base/event-fd.ts';
import { ioctl } from '../base/fd.ts';
import { addressOf } from '../base/ffi.ts';
import { mmap, munmap } from '../base/mmap.ts';
import { setOffloads } from '../base/tap.ts';
import { CrosvmError } from '../errors.ts';
import type { VmAccess } from '../hypervisor/hypervisor.ts';
import { sharedStruct } from '../memory/shared-struct.ts';
import type { QueueSetup, VirtioLink } from '../pci/virtio-pci/virtio-link.ts';
import { interruptFd, moveDoorbells, type QueueWiring } from '../vhost-user/front-end/queue-wiring.ts';
import type { SharedFile } from '../vhost-user/front-end/vhost-user-link.ts';
import type { FeatureSet } from '../virtio/features.ts';
import type { Offloads } from '../virtio/net/net-config.ts';
import { offloadsOf } from '../virtio/net/net-control.ts';
import * as v from './requests.ts';

/** Guest memory has no more pieces than the kernel takes (vhost's max_mem_regions). */
const MAX_REGIONS = 64;
/** Queues that the kernel looks after: the first two of network cards and of socket devices. */
const KERNEL_QUEUES = 2;

/** What all threads need to remember. */
const VhostKernelState = sharedStruct({
  /** The device was started and not stopped. */
  running: 'u8',
  /** Pieces of guest memory that are mapped for it, and where. */
  regions: 'u8',
  addresses: ['f64', MAX_REGIONS],
});

export function createVhostKernelState(): SharedArrayBuffer {
  return new SharedArrayBuffer(VhostKernelState.byteLength);
}

/** A vhost device of the kernel as threads attach to it: survives structured clone. */
export interface VhostKernelHandle {
  readonly kernel: 'net' | 'vsock';
  /** The device, whose owner (VHOST_SET_OWNER) this process is. */
  readonly fd: number;
  /** Of a network card, its TAP device. */
  readonly tap: number | undefined;
  /** What the kernel's part has. */
  readonly features: FeatureSet;
  readonly config: Uint8Array;
  /** What it may access besides RAM. */
  readonly files: readonly SharedFile[];
  readonly wiring: QueueWiring;
  readonly state: SharedArrayBuffer;
}

/** What it asks of the host; tests have their own. */
export interface VhostKernelHost {
  /** Throws `SystemError`. */
  ioctl(fd: number, request: v.VhostRequest, argument: Uint8Array): void;
  /** Maps guest memory for as long as the device is; returns the address. */
  map(fd: number, offset: number, length: number): number;
  unmap(address: number, length: number): void;
  setOffloads(tap: number, offloads: Offloads): void;
}

export const vhostKernelHost: VhostKernelHost = {
  ioctl(fd, request, argument) {
    ioctl(fd, v.vhostRequests[request], argument.length === 0 ? 0 : addressOf(argument), request);
  },
  map: (fd, offset, length) => mmap({ fd, offset, length }),
  unmap: munmap,
  setOffloads,
};

/**
 * The virtio device behind a vhost device of the kernel, whose threads do the work: rings, guest memory and eventfds are
 * given to it, as to a vhost-user back end, by ioctls. All threads have one each and take turns.
 */
export class VhostKernelLink implements VirtioLink {
  readonly #handle: VhostKernelHandle;
  readonly #vm: VmAccess;
  readonly #host: VhostKernelHost;
  readonly #state: InstanceType<typeof VhostKernelState>;
  readonly #kicks: readonly EventFd[];

  constructor(handle: VhostKernelHandle, vm: VmAccess, host = vhostKernelHost) {
    this.#handle = handle;
    this.#vm = vm;
    this.#host = host;
    this.#state = new VhostKernelState(handle.state);
    this.#kicks = handle.wiring.kicks.map((fd) => new EventFd(fd));
  }

  /** The kernel does not go away. */
  isGone(): boolean {
    return false;
  }

  isAway(): boolean {
    return false;
  }

  start(features: FeatureSet, queues: readonly QueueSetup[]): void {
    const { tap } = this.#handle;
    const served = queues.filter(({ index }) => index < KERNEL_QUEUES);
    this.#ask('VHOST_SET_FEATURES', v.u64(features & this.#handle.features));
    this.#ask('VHOST_SET_MEM_TABLE', v.memoryTable(this.#memory()));
    for (const queue of served) this.#setQueue(queue);
    this.#state.running = 1;
    if (tap === undefined) {
      this.#ask('VHOST_VSOCK_SET_RUNNING', v.int32(1));
      return;
    }
    this.#host.setOffloads(tap, offloadsOf(features));
    for (const { index } of served) this.#ask('VHOST_NET_SET_BACKEND', v.vringFile(index, tap));
  }

  restart(): void {
    throw new CrosvmError('E_VHOST', 'a vhost device of the kernel does not get lost');
  }

  stop(): void {
    if (this.#state.running === 0) return;
    this.#state.running = 0;
    if (this.#handle.kernel === 'vsock') {
      this.#ask('VHOST_VSOCK_SET_RUNNING', v.int32(0));
      return;
    }
    for (let index = 0; index < KERNEL_QUEUES; index++) {
      this.#ask('VHOST_NET_SET_BACKEND', v.vringFile(index, v.NO_FILE));
    }
  }

  setInterrupt(queue: number, interrupt: number): void {
    if (queue >= KERNEL_QUEUES) return;
    const fd = interruptFd(this.#handle.wiring, interrupt);
    this.#ask('VHOST_SET_VRING_CALL', v.vringFile(queue, fd ?? v.NO_FILE));
  }

  readConfig(config: Uint8Array): void {
    config.set(this.#handle.config.subarray(0, config.length));
  }

  /** Nothing of it is the driver's to write. */
  writeConfig(): void {}

  kick(queue: number): void {
    this.#kicks[queue]!.signal();
  }

  moveDoorbells(from: number, to: number): void {
    moveDoorbells(this.#vm, this.#kicks, from, to);
  }

  /** Gives guest memory back. The device must be closed already. */
  close(): void {
    const s = this.#state;
    for (const [i, { size }] of this.#pieces().slice(0, s.regions).entries()) this.#host.unmap(s.addresses[i]!, size);
    s.regions = 0;
  }

  #setQueue({ index, size, desc, driver, device, interrupt }: QueueSetup): void {
    const { kicks, error } = this.#handle.wiring;
    const addresses = { desc: this.#addressOf(desc), used: this.#addressOf(device), avail: this.#addressOf(driver) };
    this.#ask('VHOST_SET_VRING_NUM', v.vringState(index, size));
    this.#ask('VHOST_SET_VRING_BASE', v.vringState(index, 0));
    this.#ask('VHOST_SET_VRING_ADDR', v.vringAddresses(index, addresses));
    this.#ask('VHOST_SET_VRING_ERR', v.vringFile(index, error));
    this.setInterrupt(index, interrupt);
    this.#ask('VHOST_SET_VRING_KICK', v.vringFile(index, kicks[index]!));
  }

  /** Guest memory as the kernel finds it in this process: mapped once more, by its files. */
  #memory(): v.MemoryRegion[] {
    const s = this.#state;
    const pieces = this.#pieces();
    if (pieces.length > MAX_REGIONS)
      throw new CrosvmError('E_VHOST', `${pieces.length} pieces of guest memory are too many`);
    for (; s.regions < pieces.length; s.regions++) {
      const { fd, offset, size } = pieces[s.regions]!;
      s.addresses[s.regions] = this.#host.map(fd, offset, size);
    }
    return pieces.map(({ gpa, size }, i) => ({ gpa, size, address: s.addresses[i]! }));
  }

  #pieces(): { readonly gpa: number; readonly size: number; readonly fd: number; readonly offset: number }[] {
    const { memory, memoryFd } = this.#vm;
    const ram = memory.regions.map(({ gpa, size, fdOffset }) => ({ gpa, size, fd: memoryFd, offset: fdOffset }));
    return [...ram, ...this.#handle.files.map((file) => ({ ...file, offset: 0 }))];
  }

  #addressOf(gpa: number): number {
    const region = this.#memory().find((region) => gpa >= region.gpa && gpa < region.gpa + region.size);
    if (region === undefined) throw new CrosvmError('E_VHOST', `0x${gpa.toString(16)} is not guest memory`);
    return region.address + (gpa - region.gpa);
  }

  #ask(request: v.VhostRequest, bytes: Uint8Array): void {
    this.#host.ioctl(this.#handle.fd, request, bytes);
  }
}
