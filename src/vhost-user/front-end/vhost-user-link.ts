import { EventFd } from '../../base/event-fd.ts';
import { close } from '../../base/fd.ts';
import { StreamConnection } from '../../base/unix-stream.ts';
import { CrosvmError } from '../../errors.ts';
import type { VmAccess } from '../../hypervisor/hypervisor.ts';
import type { Gpa } from '../../memory/guest-memory.ts';
import { sharedStruct } from '../../memory/shared-struct.ts';
import { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK } from '../../pci/virtio-pci/layout.ts';
import type { QueueSetup, VirtioLink } from '../../pci/virtio-pci/virtio-link.ts';
import { MAX_QUEUES } from '../../pci/virtio-pci/virtio-pci-state.ts';
import { type FeatureSet, featureSet, hasFeature, VIRTIO_F_RING_PACKED } from '../../virtio/features.ts';
import { PACKED_START } from '../../virtio/queue/packed-queue.ts';
import { MessageChannel } from '../message-channel.ts';
import * as f from '../protocol/features.ts';
import { MAX_TABLE_REGIONS } from '../protocol/payloads.ts';
import { loadDeviceState, saveDeviceState } from './device-state.ts';
import { FrontEnd, RefusedError } from './front-end.ts';
import { interruptFd, moveDoorbells, type QueueWiring } from './queue-wiring.ts';

/** How long a vCPU waits for a back end before the device counts as broken. */
export const RESPONSE_TIMEOUT_MS = 5_000;
/** How long it waits for all that one access of the driver takes: to start a device with many queues is many requests. */
const ACCESS_TIMEOUT_MS = 30_000;

/** Bytes of a reason that are kept. */
const MAX_REASON = 200;

const PROTOCOL = featureSet(f.VHOST_USER_F_PROTOCOL_FEATURES);

/** What all threads need to remember of a back end. */
const VhostUserState = sharedStruct({
  /** The connection is of no use any more. */
  lost: 'u8',
  /** Why it was given up, if it was: so many bytes of text. */
  reasonLength: 'u8',
  reason: ['u8', MAX_REASON],
  /** The back end has guest memory. */
  memoryShared: 'u8',
  /** Queues that were started and not stopped. */
  running: ['u8', MAX_QUEUES],
  /** The area of requests that the back end has taken, once it has made one. */
  hasInflight: 'u8',
  inflightFd: 'i32',
  inflightSize: 'f64',
  inflightOffset: 'f64',
});

/** A file that is memory of the guest besides its RAM. */
export interface SharedFile {
  readonly fd: number;
  readonly gpa: Gpa;
  /** In bytes, whole pages of the file. */
  readonly size: number;
}

/** A back end as threads attach to it: survives structured clone. */
export interface VhostUserHandle {
  /** The connection. Another one may take its place under the same number. */
  readonly fd: number;
  /** Another back end takes its place when it is lost. */
  readonly comesBack: boolean;
  /** VHOST_USER_F_PROTOCOL_FEATURES was negotiated, and then these: a mask of the bits 0-31. */
  readonly speaksProtocol: boolean;
  readonly protocolFeatures: number;
  /** The back end has no configuration of its own: this is it. */
  readonly localConfig: Uint8Array | undefined;
  readonly wiring: QueueWiring;
  /** What the device may access besides RAM. */
  readonly files: readonly SharedFile[];
  readonly state: SharedArrayBuffer;
}

export function createVhostUserState(): SharedArrayBuffer {
  return new SharedArrayBuffer(VhostUserState.byteLength);
}

/** The virtio device behind a vhost-user connection. All threads have one each and take turns. */
export class VhostUserLink implements VirtioLink {
  readonly #handle: VhostUserHandle;
  readonly #vm: VmAccess;
  readonly #state: InstanceType<typeof VhostUserState>;
  readonly #kicks: readonly EventFd[];
  readonly #frontEnd: FrontEnd;

  constructor(handle: VhostUserHandle, vm: VmAccess) {
    this.#handle = handle;
    this.#vm = vm;
    this.#state = new VhostUserState(handle.state);
    this.#kicks = handle.wiring.kicks.map((fd) => new EventFd(fd));
    const channel = new MessageChannel(new StreamConnection(handle.fd), RESPONSE_TIMEOUT_MS);
    this.#frontEnd = new FrontEnd(channel, handle.protocolFeatures);
  }

  isGone(): boolean {
    return this.#state.lost !== 0 && !this.#handle.comesBack;
  }

  isAway(): boolean {
    return this.#state.lost !== 0 && this.#handle.comesBack;
  }

  start(features: FeatureSet, queues: readonly QueueSetup[]): void {
    this.close();
    const base = isPacked(features) ? PACKED_START : 0;
    this.#talk(() => this.#start(features, queues, () => base));
  }

  restart(features: FeatureSet, queues: readonly QueueSetup[]): void {
    // What was not used yet is done (again) by the new one (vhost-user, "Inflight I/O tracking"). Of a packed ring the
    // area for that says where it stands; without an area no queue has ever run.
    const base = ({ device }: QueueSetup) => (isPacked(features) ? PACKED_START : this.#vm.memory.getU16(device + 2));
    this.#talk(() => this.#start(features, queues, base));
    for (const { index, interrupt } of queues) {
      // A kick or an interrupt may have been lost with the old one.
      this.kick(index);
      const fd = interruptFd(this.#handle.wiring, interrupt);
      if (fd !== undefined) new EventFd(fd).signal();
    }
  }

  stop(): void {
    this.#talk(() => {
      this.#stopQueues();
      // A status of 0 alone is not enough: there are front ends that write it when their VM is only paused.
      if (this.#frontEnd.has(f.VHOST_USER_PROTOCOL_F_RESET_DEVICE)) this.#frontEnd.request('RESET_DEVICE', undefined);
      this.#setStatus(0);
    });
  }

  /** The device stands still, until `resume`. Returns where each of its queues stood. */
  suspend(): ReadonlyMap<number, number> {
    return this.#talk(() => this.#stopQueues());
  }

  /** A device that stands still goes on, or another one that was given its state. */
  resume(features: FeatureSet, queues: readonly QueueSetup[], bases: ReadonlyMap<number, number>): void {
    this.#talk(() => this.#start(features, queues, ({ index }) => bases.get(index)!));
    // What the driver wanted meanwhile.
    for (const { index } of queues) this.kick(index);
  }

  /** What a device that stands still knows besides its queues. Throws `E_VHOST_REFUSED` for one that cannot say it. */
  saveState(): Uint8Array {
    this.#mustHaveState();
    return this.#talk(() => saveDeviceState(this.#frontEnd));
  }

  /** A device that stands still goes on as another one, of which this is the state. Throws likewise. */
  loadState(state: Uint8Array): void {
    this.#mustHaveState();
    this.#talk(() => loadDeviceState(this.#frontEnd, state));
  }

  setInterrupt(queue: number, interrupt: number): void {
    this.#talk(() => this.#setCall(queue, interrupt));
  }

  readConfig(config: Uint8Array): void {
    const { localConfig } = this.#handle;
    if (localConfig !== undefined) {
      config.set(localConfig.subarray(0, config.length));
      return;
    }
    // Whole, from its start: there are back ends that do not look at the offset.
    const request = { offset: 0, flags: 0, bytes: new Uint8Array(config.length) };
    this.#talk(() => {
      const answer = this.#frontEnd.request('GET_CONFIG', request);
      if (answer?.bytes.length !== config.length) throw new RefusedError('GET_CONFIG');
      config.set(answer.bytes);
    });
  }

  writeConfig(offset: number, data: Uint8Array): void {
    if (this.#handle.localConfig !== undefined) return;
    this.#talk(() => this.#frontEnd.request('SET_CONFIG', { offset, flags: 0, bytes: data }));
  }

  kick(queue: number): void {
    this.#kicks[queue]!.signal();
  }

  moveDoorbells(from: number, to: number): void {
    moveDoorbells(this.#vm, this.#kicks, from, to);
  }

  /** Why a thread has given the connection up; undefined if none has. */
  get givenUpFor(): string | undefined {
    const { reason, reasonLength } = this.#state;
    return reasonLength === 0 ? undefined : new TextDecoder().decode(reason.slice(0, reasonLength));
  }

  /** Another back end has taken the place of one that was lost. Only with the transport's lock held. */
  reconnected(): void {
    const s = this.#state;
    s.lost = 0;
    s.reasonLength = 0;
    s.memoryShared = 0;
    s.running.fill(0);
  }

  /** The connection has ended. */
  disconnected(): void {
    this.#state.lost = 1;
  }

  /** Gives the area of taken requests back. */
  close(): void {
    const s = this.#state;
    if (s.hasInflight !== 0) close(s.inflightFd);
    s.hasInflight = 0;
  }

  /** Anything but a refusal leaves the connection in an unknown state: nobody uses it any more. */
  #talk<T>(action: () => T): T {
    if (this.#state.lost !== 0) throw new CrosvmError('E_VHOST_USER', 'vhost-user: the back end is gone');
    this.#frontEnd.limit(ACCESS_TIMEOUT_MS);
    try {
      return action();
    } catch (error) {
      if (!(error instanceof RefusedError)) {
        this.#giveUp((error as Error).message);
        // The back end and the main thread are to notice as well.
        new StreamConnection(this.#handle.fd).shutdown();
        // Bytes of an answer that was cut off must not become the start of another one.
        this.#frontEnd.abandon();
      }
      throw error;
    }
  }

  #giveUp(message: string): void {
    const s = this.#state;
    const text = new TextEncoder().encode(message).subarray(0, MAX_REASON);
    s.reason.set(text);
    s.reasonLength = text.length;
    s.lost = 1;
  }

  #mustHaveState(): void {
    if (!this.#frontEnd.has(f.VHOST_USER_PROTOCOL_F_DEVICE_STATE)) throw new RefusedError('SET_DEVICE_STATE_FD');
  }

  #stopQueues(): ReadonlyMap<number, number> {
    const { running } = this.#state;
    const bases = new Map<number, number>();
    for (let index = 0; index < running.length; index++) {
      if (running[index] === 0) continue;
      running[index] = 0;
      bases.set(index, this.#frontEnd.request('GET_VRING_BASE', { index, num: 0 }).num);
    }
    return bases;
  }

  #start(features: FeatureSet, queues: readonly QueueSetup[], base: (queue: QueueSetup) => number): void {
    const frontEnd = this.#frontEnd;
    const { speaksProtocol } = this.#handle;
    frontEnd.request('SET_FEATURES', speaksProtocol ? features | PROTOCOL : features);
    this.#setStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    if (frontEnd.has(f.VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)) this.#shareInflight(queues);
    if (this.#state.memoryShared === 0) this.#shareMemory();
    for (const queue of queues) {
      this.#state.running[queue.index] = 1;
      this.#setQueue(queue, base(queue));
    }
    if (speaksProtocol) for (const { index } of queues) frontEnd.request('SET_VRING_ENABLE', { index, num: 1 });
    this.#setStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
  }

  #setStatus(status: number): void {
    if (this.#frontEnd.has(f.VHOST_USER_PROTOCOL_F_STATUS)) this.#frontEnd.request('SET_STATUS', BigInt(status));
  }

  #setQueue({ index, size, desc, driver, device, interrupt }: QueueSetup, base: number): void {
    const frontEnd = this.#frontEnd;
    const { kicks, error } = this.#handle.wiring;
    frontEnd.request('SET_VRING_NUM', { index, num: size });
    frontEnd.request('SET_VRING_BASE', { index, num: base });
    const address = { index, flags: 0, descriptor: desc, used: device, available: driver, log: 0 };
    frontEnd.request('SET_VRING_ADDR', address);
    frontEnd.request('SET_VRING_ERR', { index, absent: false }, [error]);
    this.#setCall(index, interrupt);
    frontEnd.request('SET_VRING_KICK', { index, absent: false }, [kicks[index]!]);
  }

  #setCall(index: number, interrupt: number): void {
    const fd = interruptFd(this.#handle.wiring, interrupt);
    this.#frontEnd.request('SET_VRING_CALL', { index, absent: fd === undefined }, fd === undefined ? [] : [fd]);
  }

  /** User addresses are only names for places in guest memory: ours are the guest physical ones. */
  #shareMemory(): void {
    const frontEnd = this.#frontEnd;
    const { memory, memoryFd } = this.#vm;
    const ram = memory.regions.map((region) => ({ ...region, fd: memoryFd }));
    // As many regions as every back end takes.
    const all = [...ram, ...this.#handle.files.map((file) => ({ ...file, fdOffset: 0 }))].slice(0, MAX_TABLE_REGIONS);
    const fds = all.map(({ fd }) => fd);
    const regions = all.map(({ gpa, size, fdOffset }) => ({
      guestAddress: gpa,
      size,
      userAddress: gpa,
      mmapOffset: fdOffset,
    }));
    if (frontEnd.has(f.VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
      for (const [i, region] of regions.entries()) frontEnd.request('ADD_MEM_REG', region, [fds[i]!]);
    } else {
      frontEnd.request('SET_MEM_TABLE', regions, fds);
    }
    this.#state.memoryShared = 1;
  }

  /** The area lives until the next start: a back end that takes the place of a lost one goes on by it. */
  #shareInflight(queues: readonly QueueSetup[]): void {
    const s = this.#state;
    const count = { numQueues: this.#kicks.length, queueSize: Math.max(1, ...queues.map(({ size }) => size)) };
    if (s.hasInflight === 0) {
      const asked = { mmapSize: 0, mmapOffset: 0, ...count };
      const { reply, fd } = this.#frontEnd.requestWithFd('GET_INFLIGHT_FD', asked);
      if (fd === undefined) return;
      s.inflightFd = fd;
      s.inflightSize = reply.mmapSize;
      s.inflightOffset = reply.mmapOffset;
      s.hasInflight = 1;
    }
    const area = { mmapSize: s.inflightSize, mmapOffset: s.inflightOffset, ...count };
    this.#frontEnd.request('SET_INFLIGHT_FD', area, [s.inflightFd]);
  }
}

function isPacked(features: FeatureSet): boolean {
  return hasFeature(features, VIRTIO_F_RING_PACKED);
}
