import { rawIoctl } from '../../base/fd.ts';
import { EAGAIN, EINTR, errno } from '../../base/ffi.ts';
import { SystemError } from '../../base/system-error.ts';
import type { ExternalInterrupt, VcpuBuses, VcpuExit } from '../hypervisor.ts';
import * as c from './constants.ts';
import { EXIT, type ExitCounters } from './exit-counters.ts';
import { describeFailure } from './exit-detail.ts';
import { KVM_INTERRUPT, KVM_RUN } from './ioctls.ts';
import type { Kicks } from './kick.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { kvm_interrupt, kvm_run } from './structs.ts';

const { fields } = kvm_run;
const REQUEST_INTERRUPT_WINDOW = fields.request_interrupt_window.offset;
const READY_FOR_INTERRUPT = fields.ready_for_interrupt_injection.offset;
const EXIT_REASON = fields.exit_reason.offset;
const IO_DIRECTION = fields['io.direction'].offset;
const IO_SIZE = fields['io.size'].offset;
const IO_PORT = fields['io.port'].offset;
const IO_COUNT = fields['io.count'].offset;
const IO_DATA_OFFSET = fields['io.data_offset'].offset;
const MMIO_ADDRESS = fields['mmio.phys_addr'].offset;
const MMIO_DATA = fields['mmio.data'].offset;
const MMIO_LENGTH = fields['mmio.len'].offset;
const MMIO_IS_WRITE = fields['mmio.is_write'].offset;
const EOI_VECTOR = fields['eoi.vector'].offset;
const EVENT_TYPE = fields['system_event.type'].offset;

const TWO32 = 0x1_0000_0000;

const KICKED: VcpuExit = { reason: 'kicked' };
const SHUTDOWN: VcpuExit = { reason: 'shutdown' };
const HALTED: VcpuExit = { reason: 'halted' };
const DEBUG: VcpuExit = { reason: 'debug' };

/** Enters the guest again and again, and serves its exits, until there is something for the machine to decide. */
export class RunLoop {
  readonly #id: number;
  readonly #fd: number;
  readonly #kicks: Kicks;
  readonly #exits: ExitCounters;
  /** This vCPU's kvm_run mapping. */
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #interrupt = new NativeStruct(kvm_interrupt);
  /** What devices see of an access: one array of each width, used again and again. */
  readonly #data1 = new Uint8Array(1);
  readonly #data2 = new Uint8Array(2);
  readonly #data4 = new Uint8Array(4);
  readonly #data8 = new Uint8Array(8);

  constructor(id: number, fd: number, run: Uint8Array, kicks: Kicks, exits: ExitCounters) {
    this.#id = id;
    this.#fd = fd;
    this.#kicks = kicks;
    this.#exits = exits;
    this.#bytes = run;
    this.#view = new DataView(run.buffer, run.byteOffset, run.byteLength);
  }

  run(buses: VcpuBuses): VcpuExit {
    for (;;) {
      if (buses.externalInterrupt !== undefined) this.#offer(buses.externalInterrupt);
      const exit = rawIoctl(this.#fd, KVM_RUN, 0) === -1 ? this.#interrupted() : this.#serve(buses);
      if (exit !== undefined) return exit;
    }
  }

  #interrupted(): VcpuExit | undefined {
    const reason = errno();
    this.#exits.count(EXIT.signals);
    if (reason === EINTR) return this.#kicks.take(this.#id) ? KICKED : undefined;
    // A vCPU that waited for INIT or SIPI has just got it.
    if (reason === EAGAIN) return undefined;
    const { message, errno: name } = new SystemError('ioctl(KVM_RUN)', reason);
    // Of guest memory only files can go, and only they cannot be written.
    const why = name === 'EFAULT' ? ': a file that is memory of the guest has become shorter, or is read-only' : '';
    return { reason: 'error', detail: `${message}${why}` };
  }

  #serve(buses: VcpuBuses): VcpuExit | undefined {
    const reason = this.#view.getUint32(EXIT_REASON, true);
    switch (reason) {
      case c.KVM_EXIT_IO:
        this.#servePort(buses);
        return undefined;
      case c.KVM_EXIT_MMIO:
        this.#serveMmio(buses);
        return undefined;
      case c.KVM_EXIT_IOAPIC_EOI:
        this.#exits.count(EXIT.endsOfInterrupt);
        buses.endOfInterrupt?.(this.#bytes[EOI_VECTOR]!);
        return undefined;
      case c.KVM_EXIT_IRQ_WINDOW_OPEN:
        this.#exits.count(EXIT.interruptWindows);
        return undefined;
      case c.KVM_EXIT_INTR:
        this.#exits.count(EXIT.signals);
        return undefined;
      case c.KVM_EXIT_HLT:
        this.#exits.count(EXIT.halts);
        return HALTED;
      default:
        this.#exits.count(EXIT.others);
        return this.#serveOther(reason);
    }
  }

  #serveOther(reason: number): VcpuExit {
    switch (reason) {
      case c.KVM_EXIT_SHUTDOWN:
        return SHUTDOWN;
      case c.KVM_EXIT_DEBUG:
        return DEBUG;
      case c.KVM_EXIT_SYSTEM_EVENT:
        return this.#systemEvent();
      default:
        return { reason: 'error', detail: describeFailure(this.#bytes) };
    }
  }

  /** A string instruction comes as `count` accesses of one port, their data one after the other. */
  #servePort(buses: VcpuBuses): void {
    const bytes = this.#bytes;
    const size = bytes[IO_SIZE]!;
    const port = this.#view.getUint16(IO_PORT, true);
    const count = this.#view.getUint32(IO_COUNT, true);
    const isOut = bytes[IO_DIRECTION] === c.KVM_EXIT_IO_OUT;
    const data = this.#dataOf(size);
    this.#exits.count(isOut ? EXIT.portWrites : EXIT.portReads);
    let at = this.#view.getUint32(IO_DATA_OFFSET, true);
    for (let i = 0; i < count; i++, at += size) {
      if (isOut) {
        for (let j = 0; j < size; j++) data[j] = bytes[at + j]!;
        buses.ports.write(port, data);
      } else {
        buses.ports.read(port, data);
        for (let j = 0; j < size; j++) bytes[at + j] = data[j]!;
      }
    }
  }

  #serveMmio(buses: VcpuBuses): void {
    const address = this.#view.getUint32(MMIO_ADDRESS, true) + this.#view.getUint32(MMIO_ADDRESS + 4, true) * TWO32;
    const length = this.#view.getUint32(MMIO_LENGTH, true);
    const isWrite = this.#bytes[MMIO_IS_WRITE] !== 0;
    this.#exits.count(isWrite ? EXIT.mmioWrites : EXIT.mmioReads);
    // An access across the edge of a page comes in two parts, which may have any length: those go byte by byte.
    const width = length === 1 || length === 2 || length === 4 || length === 8 ? length : 1;
    for (let done = 0; done < length; done += width)
      this.#mmio(buses, address + done, MMIO_DATA + done, width, isWrite);
  }

  #mmio(buses: VcpuBuses, address: number, at: number, width: number, isWrite: boolean): void {
    const bytes = this.#bytes;
    const data = this.#dataOf(width);
    if (isWrite) {
      for (let j = 0; j < width; j++) data[j] = bytes[at + j]!;
      buses.mmio.write(address, data);
    } else {
      buses.mmio.read(address, data);
      for (let j = 0; j < width; j++) bytes[at + j] = data[j]!;
    }
  }

  #dataOf(width: number): Uint8Array {
    if (width === 1) return this.#data1;
    if (width === 2) return this.#data2;
    return width === 4 ? this.#data4 : this.#data8;
  }

  #systemEvent(): VcpuExit {
    const type = this.#view.getUint32(EVENT_TYPE, true);
    if (type === c.KVM_SYSTEM_EVENT_SHUTDOWN) return { reason: 'system', event: 'shutdown' };
    if (type === c.KVM_SYSTEM_EVENT_RESET) return { reason: 'system', event: 'reset' };
    if (type === c.KVM_SYSTEM_EVENT_CRASH) return { reason: 'system', event: 'crash' };
    return { reason: 'error', detail: `KVM reported a system event of unknown type ${type}` };
  }

  /**
   * Before an entry, with a split irqchip: gives the PIC's interrupt to the kernel's LAPIC if the guest can take one
   * now; otherwise asks to come back as soon as it can.
   */
  #offer(source: ExternalInterrupt): void {
    if (source.pending() && this.#bytes[READY_FOR_INTERRUPT] !== 0) {
      this.#interrupt.set('irq', source.acknowledge());
      kvmIoctl(this.#fd, KVM_INTERRUPT, this.#interrupt);
      // What the last exit said about readiness is used up.
      this.#bytes[READY_FOR_INTERRUPT] = 0;
    }
    this.#bytes[REQUEST_INTERRUPT_WINDOW] = source.pending() ? 1 : 0;
  }
}
