import assert from 'node:assert/strict';
import type { BusDevice } from '../../../devices/bus.ts';
import { RecordingLine, readReg, writeReg } from '../../../devices/testing.ts';
import { CrosvmError } from '../../../errors.ts';
import { COMMAND, ConfigState } from '../../config-space.ts';
import { MsixState } from '../../msix.ts';
import { PciRoot, PciRootState } from '../../pci-root.ts';
import * as at from '../layout.ts';
import type { SharedMemoryBar } from '../shared-memory.ts';
import { IsrState } from '../virtio-interrupts.ts';
import type { QueueSetup, VirtioLink } from '../virtio-link.ts';
import { VirtioPci, type VirtioPciDeps, type VirtioPciSpec, type VirtioPciStates } from '../virtio-pci.ts';
import { VirtioPciState } from '../virtio-pci-state.ts';

export const BAR = 0xd000_0000;
export const SHARED_BAR = 0x4_0000_0000;
export const RAM = 0x10_0000;
/** In the high half of the features. */
export const VERSION_1 = 1;
export const PACKED = 4;
const SLOT = 3;
const SPEC: VirtioPciSpec = {
  type: 2,
  classCode: 0x01_8000,
  features: 0x5_0000_0244n,
  maxQueueSizes: [256, 64],
  configSize: 12,
};

/** The device's configuration space in the ECAM. */
export const config = (register: number) => (SLOT << 15) + register;

/** A machine with a device that was never touched, its registers as a driver sees them, and what it asks of its back end. */
export class VirtioPciRig {
  calls: unknown[] = [];
  /** The call that the back end does not answer; `everything` if it is gone. */
  failing: string | undefined;
  away = false;
  readonly reports: string[] = [];
  readonly signalled: number[] = [];
  readonly line = new RecordingLine();
  readonly root: PciRoot;
  readonly device: VirtioPci;
  /** What a thread attaches by. */
  readonly attach: () => { root: PciRoot; device: VirtioPci };
  readonly bar: BusDevice;

  constructor(sharedMemory?: SharedMemoryBar) {
    this.attach = this.#machine(sharedMemory);
    ({ root: this.root, device: this.device } = this.attach());
    this.bar = this.root.memoryWindow(BAR);
    const window = sharedMemory === undefined ? [] : [['window', SHARED_BAR]];
    assert.deepEqual(this.calls.splice(0), [['doorbells', -1, BAR + 0x3000], ...window, 'read config']);
  }

  readonly call = (...what: unknown[]): void => {
    this.calls.push(what.length === 1 ? what[0] : what);
    if (this.failing === what[0]) throw new CrosvmError('E_VHOST_USER', 'the back end does not answer');
  };

  get(register: number, width: number): number {
    return readReg(this.bar, register, width);
  }

  set(register: number, value: number, width: number): void {
    writeReg(this.bar, register, value, width);
  }

  status(): number {
    return this.get(at.DEVICE_STATUS, 1);
  }

  setStatus(value: number): void {
    this.set(at.DEVICE_STATUS, value, 1);
  }

  negotiate(low = 0, high = VERSION_1): void {
    this.setStatus(0);
    this.setStatus(at.ACKNOWLEDGE);
    this.setStatus(at.ACKNOWLEDGE | at.DRIVER);
    for (const [i, word] of [low, high].entries()) {
      this.set(at.DRIVER_FEATURE_SELECT, i, 4);
      this.set(at.DRIVER_FEATURE, word, 4);
    }
    this.setStatus(at.ACKNOWLEDGE | at.DRIVER | at.FEATURES_OK);
  }

  setUpQueue(queue: number, size: number, desc = 0x1000): void {
    this.set(at.QUEUE_SELECT, queue, 2);
    this.set(at.QUEUE_SIZE, size, 2);
    this.set(at.QUEUE_MSIX_VECTOR, queue + 1, 2);
    for (const [register, address] of [
      [at.QUEUE_DESC, desc],
      [at.QUEUE_DRIVER, desc + 0x1000],
      [at.QUEUE_DEVICE, desc + 0x2000],
    ] as const) {
      this.set(register, address, 4);
      this.set(register + 4, 0, 4);
    }
    this.set(at.QUEUE_ENABLE, 1, 2);
  }

  driverOk(): void {
    this.setStatus(this.status() | at.DRIVER_OK);
  }

  startDevice(): void {
    this.negotiate();
    this.setUpQueue(0, 128);
    this.driverOk();
  }

  enableMsix(on = true): void {
    writeReg(this.root.ecam, config(COMMAND), 0x0006, 2);
    const offset = this.device.config.capabilityOffsets[at.MSIX_INDEX]!;
    writeReg(this.root.ecam, config(offset + 2), on ? 0x8000 : 0, 2);
  }

  started(): [string, unknown, QueueSetup[]] | undefined {
    return this.calls.find((c): c is [string, unknown, QueueSetup[]] => Array.isArray(c) && c[0] === 'start');
  }

  #machine(sharedMemory: SharedMemoryBar | undefined): typeof this.attach {
    const shared = <T>(struct: { byteLength: number; new (buffer: SharedArrayBuffer): T }) =>
      new struct(new SharedArrayBuffer(struct.byteLength));
    const rootState = shared(PciRootState);
    const states: VirtioPciStates = {
      pci: shared(ConfigState),
      msix: shared(MsixState),
      isr: shared(IsrState),
      virtio: shared(VirtioPciState),
    };
    const deps = this.#deps(sharedMemory);
    return () => {
      const made = new VirtioPci(states, { ...SPEC, sharedMemory }, deps);
      const pci = new PciRoot(rootState, () => {});
      pci.add(SLOT, 0, made);
      return { root: pci, device: made };
    };
  }

  #deps(sharedMemory: SharedMemoryBar | undefined): VirtioPciDeps {
    return {
      address: BAR,
      sharedMemoryAddress: sharedMemory && SHARED_BAR,
      window: sharedMemory && {
        moveTo: (address) => this.call('window', address),
        clear: () => this.call('window cleared'),
      },
      interrupt: { pin: 1, irq: 10, line: this.line },
      link: this.#link(),
      msix: {
        connect: () => {},
        disconnect: () => {},
        isPending: () => false,
        signal: (vector) => this.signalled.push(vector),
      },
      isRam: (address, length) => address >= 0 && address + length <= RAM,
      report: (reason) => this.reports.push(reason),
    };
  }

  #link(): VirtioLink {
    const { call } = this;
    return {
      isGone: () => this.failing === 'everything',
      isAway: () => this.away,
      start: (features, queues) => call('start', features, queues),
      restart: (features, queues) => call('restart', features, queues),
      stop: () => call('stop'),
      setInterrupt: (queue, interrupt) => call('interrupt', queue, interrupt),
      readConfig: (bytes) => {
        call('read config');
        for (let i = 0; i < bytes.length; i++) bytes[i] = 0xc0 + i;
      },
      writeConfig: (offset, data) => call('write config', offset, ...data),
      kick: (queue) => call('kick', queue),
      moveDoorbells: (from, to) => call('doorbells', from, to),
    };
  }
}
