import type { InterruptLine } from '../../devices/device.ts';
import type { FeatureSet } from '../../virtio/features.ts';
import { type BarSpec, ConfigSpace, type ConfigSpec, type ConfigState } from '../config-space.ts';
import { Msix, type MsixSources, type MsixState } from '../msix.ts';
import type { PciDevice } from '../pci-device.ts';
import { CommonConfig, type CommonConfigDevice } from './common-config.ts';
import { DeviceStatus } from './device-status.ts';
import * as at from './layout.ts';
import { SHARED_MEMORY_BAR, type SharedMemoryBar } from './shared-memory.ts';
import { type IsrState, VirtioInterrupts } from './virtio-interrupts.ts';
import type { VirtioLink } from './virtio-link.ts';
import type { VirtioPciState } from './virtio-pci-state.ts';

/** A virtio device as the machine describes it: survives structured clone. */
export interface VirtioPciSpec {
  /** Its number in the list of device types (VIRTIO 1.3, 5). */
  readonly type: number;
  readonly classCode: number;
  /** What it offers, with the features of the transport. */
  readonly features: FeatureSet;
  readonly maxQueueSizes: readonly number[];
  /** Bytes of its configuration that there are. */
  readonly configSize: number;
  readonly sharedMemory?: SharedMemoryBar | undefined;
}

/** What is in the BAR of the shared memory. */
export interface SharedMemoryWindow {
  /** The BAR is there from now on; undefined: nowhere. */
  moveTo(address: number | undefined): void;
  /** Takes all away that was mapped. */
  clear(): void;
}

export interface VirtioPciStates {
  readonly pci: InstanceType<typeof ConfigState>;
  readonly msix: InstanceType<typeof MsixState>;
  readonly isr: InstanceType<typeof IsrState>;
  readonly virtio: InstanceType<typeof VirtioPciState>;
}

export interface VirtioPciDeps {
  /** Where BAR 0 starts. */
  readonly address: number;
  /** Where that of the shared memory does, for a device that has one, and what is in it. */
  readonly sharedMemoryAddress?: number | undefined;
  readonly window?: SharedMemoryWindow | undefined;
  readonly interrupt: { readonly pin: number; readonly irq: number; readonly line: InterruptLine };
  readonly link: VirtioLink;
  readonly msix: MsixSources & { signal(vector: number): void };
  readonly isRam: (address: number, length: number) => boolean;
  /** Why the device cannot go on. Called with locks held. */
  readonly report: (reason: string) => void;
}

/** One MSI-X vector for each queue, and one for the configuration. */
export function virtioVectors({ maxQueueSizes }: Pick<VirtioPciSpec, 'maxQueueSizes'>): number {
  return maxQueueSizes.length + 1;
}

/**
 * The PCI function that a driver sees of a virtio device (VIRTIO 1.3, 4.1): modern transport, no legacy. The device
 * itself is behind `link`. Every thread has one over the same states.
 */
export class VirtioPci implements PciDevice {
  readonly config: ConfigSpace;
  readonly #spec: VirtioPciSpec;
  readonly #states: VirtioPciStates;
  readonly #deps: VirtioPciDeps;
  readonly #msix: Msix;
  readonly #interrupts: VirtioInterrupts;
  readonly #common: CommonConfig;
  readonly #status: DeviceStatus;
  /** Where the window into the BAR is in the configuration space (4.1.4.9). */
  readonly #window: number;

  constructor(states: VirtioPciStates, spec: VirtioPciSpec, deps: VirtioPciDeps) {
    this.#spec = spec;
    this.#states = states;
    this.#deps = deps;
    const vectors = virtioVectors(spec);
    this.config = new ConfigSpace(states.pci, configSpec(spec, deps, vectors));
    const capabilities = this.config.capabilityOffsets;
    this.#window = capabilities[at.PCI_CFG_INDEX]!;
    this.#msix = new Msix(states.msix, this.config, capabilities[at.MSIX_INDEX]!, vectors, deps.msix);
    this.#interrupts = new VirtioInterrupts(states.isr, this.config, this.#msix, (vector) => deps.msix.signal(vector));
    const device: CommonConfigDevice = { ...spec, msixVectors: vectors };
    this.#common = new CommonConfig(states.virtio, device, {
      statusWritten: (value) => this.#status.write(value),
      queueVectorChanged: (queue) => this.#status.updateInterrupt(queue),
    });
    const reset = () => this.#common.reset();
    this.#status = new DeviceStatus(states.virtio, { ...deps, device, interrupts: this.#interrupts }, reset);
    this.#initialize();
  }

  readBar(bar: number, offset: number, data: Uint8Array): void {
    // Of the other one, what is mapped is memory and never comes here.
    if (bar !== at.VIRTIO_BAR) data.fill(0xff);
    else if (contains(at.MSIX_TABLE, offset)) this.#msix.readTable(offset - at.MSIX_TABLE.offset, data);
    else if (contains(at.MSIX_PENDING, offset)) this.#msix.readPending(offset - at.MSIX_PENDING.offset, data);
    else if (contains(at.COMMON, offset)) this.#locked(() => this.#common.read(offset, data));
    else if (contains(at.DEVICE_CONFIG, offset)) this.#locked(() => this.#readConfig(offset, data));
    else {
      data.fill(0);
      if (offset === at.ISR.offset) data[0] = this.#interrupts.acknowledge();
    }
  }

  writeBar(bar: number, offset: number, data: Uint8Array): void {
    if (bar !== at.VIRTIO_BAR) return;
    if (contains(at.MSIX_TABLE, offset)) this.#msix.writeTable(offset - at.MSIX_TABLE.offset, data);
    else if (contains(at.COMMON, offset)) this.#locked(() => this.#common.write(offset, data));
    else if (contains(at.DEVICE_CONFIG, offset)) this.#locked(() => this.#writeConfig(offset, data));
    else if (contains(at.NOTIFY, offset)) this.#notify((offset - at.NOTIFY.offset) / at.NOTIFY_MULTIPLIER);
  }

  readConfig(register: number, data: Uint8Array): boolean {
    const target = this.#windowTarget(register, data.length);
    if (target < 0) return false;
    this.readBar(at.VIRTIO_BAR, target, data);
    return true;
  }

  writeConfig(register: number, data: Uint8Array): boolean {
    const target = this.#windowTarget(register, data.length);
    if (target < 0) return false;
    this.writeBar(at.VIRTIO_BAR, target, data);
    return true;
  }

  configWritten(): void {
    this.#msix.update();
    this.#locked(() => {
      const { virtio } = this.#states;
      const usesMsix = this.#msix.isEnabled ? 1 : 0;
      if (virtio.usesMsix === usesMsix) return;
      virtio.usesMsix = usesMsix;
      for (let queue = 0; queue < this.#spec.maxQueueSizes.length; queue++) this.#status.updateInterrupt(queue);
    });
  }

  barsMoved(): void {
    this.#locked(() => this.#moveBars());
  }

  /** A queue without a vector has used buffers. */
  queueUsed(): void {
    this.#interrupts.queueUsed();
  }

  /** The device says that its configuration is not what it was. From any thread, without waiting for anybody. */
  configChanged(): void {
    const { virtio } = this.#states;
    Atomics.add(virtio.configVersion, 0, 1);
    if (virtio.status & at.DRIVER_OK) this.#interrupts.configChanged(virtio.configVector);
  }

  /** The device is gone; a driver that uses it has to reset it. */
  deviceLost(reason: string): void {
    this.#locked(() => this.#status.fail(reason));
  }

  /**
   * Another back end is there, which `adopt` makes known to the link. If it can go on where a lost one was (`resumes`) the
   * driver notices nothing; else it has to reset the device before it can use it.
   */
  backEndReplaced(adopt: () => void, resumes: boolean): void {
    this.#locked(() => {
      adopt();
      // A driver that has reset the device while it was away has started it anew.
      if (resumes || !this.#status.needsReset) this.#status.restart();
    });
    this.configChanged();
  }

  /** The thread that comes first. */
  #initialize(): void {
    this.#locked(() => {
      const { virtio } = this.#states;
      if (virtio.initialized !== 0) return;
      virtio.initialized = 1;
      this.#common.reset();
      Atomics.add(virtio.configVersion, 0, 1); // nothing was read yet
      virtio.doorbells = -1;
      this.#moveBars();
      // Now, so that a device that is lost while its driver starts has one.
      if (this.#spec.configSize > 0) this.#refreshConfig();
    });
  }

  #moveBars(): void {
    const { virtio } = this.#states;
    const [registers, memory] = this.config.bars.map((bar) => this.config.barAddress(bar));
    const to = registers! < 0 ? -1 : registers! + at.NOTIFY.offset;
    if (to !== virtio.doorbells) this.#deps.link.moveDoorbells(virtio.doorbells, to);
    virtio.doorbells = to;
    if (memory !== undefined) this.#deps.window?.moveTo(memory < 0 ? undefined : memory);
  }

  #notify(queue: number): void {
    if (queue < this.#spec.maxQueueSizes.length && Number.isInteger(queue)) this.#deps.link.kick(queue);
  }

  #readConfig(offset: number, data: Uint8Array): void {
    this.#refreshConfig();
    const { virtio } = this.#states;
    for (let i = 0, from = offset - at.DEVICE_CONFIG.offset; i < data.length; i++) {
      data[i] = from + i < this.#spec.configSize ? virtio.config[from + i]! : 0;
    }
  }

  /** A device that does not answer keeps the configuration that it had. */
  #refreshConfig(): void {
    const { virtio } = this.#states;
    const version = Atomics.load(virtio.configVersion, 0);
    if (virtio.configRead === version) return;
    this.#status.attempt(() => this.#deps.link.readConfig(virtio.config.subarray(0, this.#spec.configSize)));
    virtio.configRead = version;
  }

  #writeConfig(offset: number, data: Uint8Array): void {
    const from = offset - at.DEVICE_CONFIG.offset;
    if (from + data.length > this.#spec.configSize) return;
    this.#status.attempt(() => this.#deps.link.writeConfig(from, data));
    this.#states.virtio.configRead = Atomics.load(this.#states.virtio.configVersion, 0) - 1; // read it again
  }

  /** Where in the BAR an access to the window goes; -1 if it is none, or points at nothing. */
  #windowTarget(register: number, length: number): number {
    if (register !== this.#window + at.PCI_CFG_DATA) return -1;
    const bytes = new Uint8Array(at.PCI_CFG_DATA);
    this.config.read(this.#window, bytes);
    const view = new DataView(bytes.buffer);
    const offset = view.getUint32(at.CAP_OFFSET, true);
    const isSound = view.getUint8(at.CAP_BAR) === at.VIRTIO_BAR && view.getUint32(at.CAP_LENGTH, true) === length;
    return isSound && offset % length === 0 && offset + length <= at.VIRTIO_BAR_SIZE ? offset : -1;
  }

  #locked(action: () => void): void {
    const { lock } = this.#states.virtio;
    lock.acquire();
    try {
      action();
    } finally {
      lock.release();
    }
  }
}

function configSpec(spec: VirtioPciSpec, deps: VirtioPciDeps, vectors: number): ConfigSpec {
  const { address, interrupt, sharedMemoryAddress } = deps;
  const { sharedMemory } = spec;
  const bars: BarSpec[] = [{ index: at.VIRTIO_BAR, kind: 'memory32', size: at.VIRTIO_BAR_SIZE, address }];
  if (sharedMemory !== undefined && sharedMemoryAddress !== undefined) {
    const { size } = sharedMemory;
    bars.push({ index: SHARED_MEMORY_BAR, kind: 'memory64', size, prefetchable: true, address: sharedMemoryAddress });
  }
  return {
    vendor: at.VIRTIO_VENDOR,
    device: at.VIRTIO_DEVICE_BASE + spec.type,
    revision: 1,
    classCode: spec.classCode,
    subsystemVendor: at.VIRTIO_VENDOR,
    subsystem: at.VIRTIO_DEVICE_BASE + spec.type,
    bars,
    capabilities: at.virtioCapabilities(vectors, sharedMemory?.regions ?? []),
    interrupt,
  };
}

function contains({ offset, length }: at.Area, address: number): boolean {
  return address >= offset && address < offset + length;
}
