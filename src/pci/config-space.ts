import type { InterruptLine } from '../devices/device.ts';
import { CrosvmError } from '../errors.ts';
import { sharedStruct } from '../memory/shared-struct.ts';

/** Registers of a type 0 header (PCI 3.0, 6.1). */
export const COMMAND = 0x04;
export const STATUS = 0x06;
export const BAR0 = 0x10;
const CAPABILITIES_POINTER = 0x34;
const INTERRUPT_LINE = 0x3c;
const INTERRUPT_PIN = 0x3d;
const HEADER_SIZE = 0x40;
const CONFIG_SIZE = 256;

const COMMAND_IO = 1 << 0;
const COMMAND_MEMORY = 1 << 1;
const COMMAND_WRITABLE = 0x0547; // I/O, memory, bus master, parity, SERR#, INTx disable
const COMMAND_INTX_DISABLE = 1 << 10;
const STATUS_INTERRUPT = 1 << 3;
const STATUS_CAPABILITIES = 1 << 4;

const BAR_IO = 0x1;
const BAR_64BIT = 0x4;
const BAR_PREFETCHABLE = 0x8;
const BARS = 6;

export type BarKind = 'io' | 'memory32' | 'memory64';

/** A base address register. A 'memory64' one takes the place of the next as well. */
export interface BarSpec {
  readonly index: number;
  readonly kind: BarKind;
  /** Bytes, a power of two, at least 16 (4 for I/O). */
  readonly size: number;
  readonly prefetchable?: boolean;
  /** Where the machine puts it at the start. */
  readonly address: number;
}

export interface CapabilitySpec {
  readonly id: number;
  /** What follows the id and the next pointer. */
  readonly body: Uint8Array;
  /** Writable bits of `body`; none if left out. */
  readonly writeMask?: Uint8Array;
}

export interface ConfigSpec {
  readonly vendor: number;
  readonly device: number;
  readonly revision?: number;
  /** Base class, subclass and programming interface: 24 bits. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  readonly bars?: readonly BarSpec[];
  readonly capabilities?: readonly CapabilitySpec[];
  /** INTx: pin 1 (INTA#) to 4, the interrupt that firmware would write into the line register, and the wire. */
  readonly interrupt?: { readonly pin: number; readonly irq: number; readonly line: InterruptLine };
}

export const ConfigState = sharedStruct({
  registers: ['u8', CONFIG_SIZE],
  /** Level that the device wants on its INTx wire. */
  interrupt: 'u8',
  initialized: 'u8',
});

/** The configuration space of a function with a type 0 header: 256 bytes, what is writable in it, and where its BARs are. */
export class ConfigSpace {
  readonly bars: readonly BarSpec[];
  /** Offsets of the capabilities, in the order of the specification. */
  readonly capabilityOffsets: readonly number[];
  readonly #state: InstanceType<typeof ConfigState>;
  readonly #view: DataView;
  readonly #writable = new Uint8Array(CONFIG_SIZE);
  readonly #line: InterruptLine | undefined;

  constructor(state: InstanceType<typeof ConfigState>, spec: ConfigSpec) {
    this.#state = state;
    const { buffer, byteOffset } = state.registers;
    this.#view = new DataView(buffer, byteOffset, CONFIG_SIZE);
    this.bars = spec.bars ?? [];
    this.#line = spec.interrupt?.line;
    // Built aside: a thread that attaches later must not touch what the guest has written since.
    const registers = new Uint8Array(CONFIG_SIZE);
    const view = new DataView(registers.buffer);
    const writable = new DataView(this.#writable.buffer);
    writable.setUint16(COMMAND, COMMAND_WRITABLE, true);
    writable.setUint8(0x0c, 0xff); // cache line size
    writable.setUint8(INTERRUPT_LINE, 0xff);
    writeHeader(view, spec);
    for (const bar of this.bars) writeBar(view, writable, bar);
    this.capabilityOffsets = writeCapabilities(registers, this.#writable, spec.capabilities ?? []);
    state.lock.acquire();
    if (state.initialized === 0) {
      state.registers.set(registers);
      state.initialized = 1;
    }
    state.lock.release();
  }

  /** Reads from `register`; what is beyond the 256 bytes reads as all ones. */
  read(register: number, data: Uint8Array): void {
    const { registers, lock } = this.#state;
    lock.acquire();
    for (let i = 0; i < data.length; i++) data[i] = registers[register + i] ?? 0xff;
    lock.release();
  }

  /** Writes what is writable; returns whether that can have moved a BAR. */
  write(register: number, data: Uint8Array): boolean {
    const { registers, lock } = this.#state;
    let moved = false;
    lock.acquire();
    try {
      for (let i = 0; i < data.length && register + i < CONFIG_SIZE; i++) {
        const at = register + i;
        const mask = this.#writable[at]!;
        const value = (registers[at]! & ~mask) | (data[i]! & mask);
        if (value === registers[at]) continue;
        registers[at] = value;
        if (at === COMMAND || (at >= BAR0 && at < BAR0 + 4 * BARS)) moved = true;
      }
      this.#updateInterrupt();
    } finally {
      lock.release();
    }
    return moved;
  }

  /** Where BAR `bar` is now, or -1 if its decoding is off or the guest put it out of reach. */
  barAddress(bar: BarSpec): number {
    const command = this.#view.getUint16(COMMAND, true);
    const at = BAR0 + 4 * bar.index;
    const low = this.#view.getUint32(at, true);
    if (bar.kind === 'io') return command & COMMAND_IO ? (low & 0xffff_fffc) >>> 0 : -1;
    if ((command & COMMAND_MEMORY) === 0) return -1;
    const base = (low & 0xffff_fff0) >>> 0;
    if (bar.kind === 'memory32') return base;
    const high = this.#view.getUint32(at + 4, true);
    return high < 1 << 20 ? high * 0x1_0000_0000 + base : -1;
  }

  /** The 16-bit register at `register`. */
  read16(register: number): number {
    return this.#view.getUint16(register, true);
  }

  /** Bus mastering: whether the device may write to memory (and send MSIs). */
  get isBusMaster(): boolean {
    return (this.#view.getUint8(COMMAND) & 4) !== 0;
  }

  /** Drives the INTx wire, as far as the command register lets it. */
  setInterrupt(level: boolean): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      s.interrupt = level ? 1 : 0;
      this.#updateInterrupt();
    } finally {
      s.lock.release();
    }
  }

  #updateInterrupt(): void {
    if (this.#line === undefined) return;
    const view = this.#view;
    const asserted = this.#state.interrupt !== 0;
    const status = view.getUint8(STATUS) & ~STATUS_INTERRUPT;
    view.setUint8(STATUS, asserted ? status | STATUS_INTERRUPT : status);
    this.#line.set(asserted && (view.getUint16(COMMAND, true) & COMMAND_INTX_DISABLE) === 0);
  }
}

function writeHeader(view: DataView, spec: ConfigSpec): void {
  view.setUint16(0x00, spec.vendor, true);
  view.setUint16(0x02, spec.device, true);
  view.setUint32(0x08, ((spec.classCode << 8) | (spec.revision ?? 0)) >>> 0, true);
  view.setUint16(0x2c, spec.subsystemVendor ?? 0, true);
  view.setUint16(0x2e, spec.subsystem ?? 0, true);
  if (spec.interrupt === undefined) return;
  view.setUint8(INTERRUPT_LINE, spec.interrupt.irq);
  view.setUint8(INTERRUPT_PIN, spec.interrupt.pin);
}

/** Firmware's work: the BAR has its address and its space is enabled. */
function writeBar(view: DataView, writable: DataView, bar: BarSpec): void {
  const { index, kind, size, address } = bar;
  const smallest = kind === 'io' ? 4 : 16;
  const last = kind === 'memory64' ? BARS - 2 : BARS - 1;
  if (!(index >= 0 && index <= last)) throw new RangeError(`there is no BAR ${index} for ${kind}`);
  if (size < smallest || !Number.isInteger(Math.log2(size))) throw new RangeError(`a BAR cannot have ${size} bytes`);
  if (address % size !== 0) throw new RangeError(`BAR ${index} is not aligned to its size`);
  const at = BAR0 + 4 * index;
  const flags =
    (kind === 'io' ? BAR_IO : 0) | (kind === 'memory64' ? BAR_64BIT : 0) | (bar.prefetchable ? BAR_PREFETCHABLE : 0);
  view.setUint32(at, ((address % 0x1_0000_0000) | flags) >>> 0, true);
  // Address bits below the size cannot be written, which is how software finds the size out.
  writable.setUint32(at, size < 2 ** 32 ? 2 ** 32 - size : 0, true);
  if (kind === 'memory64') {
    view.setUint32(at + 4, Math.floor(address / 0x1_0000_0000), true);
    writable.setUint32(at + 4, size < 2 ** 32 ? 0xffff_ffff : 2 ** 32 - size / 2 ** 32, true);
  }
  view.setUint16(COMMAND, view.getUint16(COMMAND, true) | (kind === 'io' ? COMMAND_IO : COMMAND_MEMORY), true);
}

function writeCapabilities(registers: Uint8Array, writable: Uint8Array, capabilities: readonly CapabilitySpec[]) {
  const offsets: number[] = [];
  let at = HEADER_SIZE;
  let link = CAPABILITIES_POINTER;
  for (const { id, body, writeMask } of capabilities) {
    if (at + 2 + body.length > CONFIG_SIZE) {
      throw new CrosvmError('E_PCI_CAPABILITIES', 'the capabilities do not fit into the PCI configuration space');
    }
    registers[link] = at;
    registers[at] = id;
    registers.set(body, at + 2);
    if (writeMask !== undefined) writable.set(writeMask.subarray(0, body.length), at + 2);
    offsets.push(at);
    link = at + 1;
    at = (at + 2 + body.length + 3) & ~3;
  }
  if (offsets.length > 0) registers[STATUS] = registers[STATUS]! | STATUS_CAPABILITIES;
  return offsets;
}
