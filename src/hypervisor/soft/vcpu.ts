/** A vCPU of the software hypervisor as the machine, snapshots and debuggers have it: a processor and its state. */

import type { Clock } from '../../devices/device.ts';
import { CrosvmError } from '../../errors.ts';
import { ATTENTION_NMI, LAPIC_PAGE_SIZE } from '../../irqchip/lapic-state.ts';
import { DELIVERY_NMI, DELIVERY_STARTUP } from '../../irqchip/msi.ts';
import type { Gpa } from '../../memory/guest-memory.ts';
import type * as h from '../hypervisor.ts';
import { VECTOR } from './architecture.ts';
import { SoftDeterminism } from './deterministic-vcpu.ts';
import { ACCESS } from './mmu/walk.ts';
import { type Activity, Processor } from './processor.ts';
import { CPU } from './state.ts';
import type { EventKind, GuestEvent } from './system/exceptions.ts';
import { notePause } from './system/kvmclock.ts';
import { MSR, readMsr, writeMsr } from './system/msrs.ts';
import * as registers from './vcpu-registers.ts';
import { InstructionTime } from './vcpu-time.ts';
import { type SoftVcpuHandle, SoftVmAccess } from './vm-access.ts';

const FXSAVE_SIZE = 512;
const FXSAVE_FORMAT = { wide: true, code64: true };
const MAX_BREAKPOINTS = 4;
/** Without XSAVE there is only the x87 part. */
const XCR0 = 1n;

const MP_STATES: Readonly<Record<Activity, h.MpState>> = {
  running: 'runnable',
  halted: 'halted',
  'waits for INIT': 'uninitialized',
  'waits for SIPI': 'init-received',
};
const ACTIVITIES: Readonly<Record<h.MpState, Activity>> = {
  runnable: 'running',
  halted: 'halted',
  uninitialized: 'waits for INIT',
  'init-received': 'waits for SIPI',
  'sipi-received': 'waits for SIPI',
};
/** Exceptions that are reported behind their instruction. */
const TRAPS: readonly number[] = [VECTOR.db, VECTOR.bp, VECTOR.of];

export class SoftVcpu extends Processor implements h.Vcpu {
  readonly deterministic: h.DeterministicVcpu | undefined;
  #sipiVector = 0;

  /** `clock`: another time than the host's, for tools that repeat a run. */
  constructor(handle: SoftVcpuHandle, clock?: Clock) {
    super(handle.id, new SoftVmAccess(handle.vm, clock));
    const { time } = this;
    const signals = this.vm.signals[handle.id]!;
    if (time instanceof InstructionTime) this.deterministic = new SoftDeterminism(this, time, signals);
  }

  supportedCpuid(): h.CpuidEntry[] {
    return this.vm.supportedCpuid();
  }

  setCpuid(entries: readonly h.CpuidEntry[]): void {
    this.cpuid = entries;
  }

  getRegisters(): h.Registers {
    return registers.getRegisters(this.state);
  }

  setRegisters(values: h.Registers): void {
    registers.setRegisters(this.state, values);
    this.state.updateMode();
  }

  getSystemRegisters(): h.SystemRegisters {
    return registers.getSystemRegisters(this.state, this.apic);
  }

  setSystemRegisters(values: h.SystemRegisters): void {
    const { state, apic } = this;
    registers.setSystemRegisters(state, apic, values);
    state.tlb.flush();
    state.updateMode();
  }

  getFpu(): h.FpuState {
    const fxsave = new Uint8Array(FXSAVE_SIZE);
    this.fpu.fxsave(new DataView(fxsave.buffer), FXSAVE_FORMAT);
    return { fxsave };
  }

  setFpu({ fxsave }: h.FpuState): void {
    if (fxsave.length !== FXSAVE_SIZE) throw new RangeError(`an FXSAVE image has 512 bytes, not ${fxsave.length}`);
    const fault = this.fpu.fxrstor(new DataView(fxsave.slice().buffer), FXSAVE_FORMAT);
    if (fault !== 0) throw new RangeError('the FXSAVE image has bits in MXCSR that the CPU does not have');
  }

  getMsrs(indices: readonly number[]): h.MsrEntry[] {
    return indices.map((index) => {
      const value = readMsr(this, index);
      if (value === undefined) throw noMsr(index, 'read');
      return { index, value };
    });
  }

  setMsrs(entries: readonly h.MsrEntry[]): void {
    for (const { index, value } of entries) {
      if (index === MSR.tsc) this.synchronizeTsc(value);
      else if (!writeMsr(this, index, value)) throw noMsr(index, 'set');
    }
  }

  getEvents(): h.VcpuEvents {
    const { state, injected, apic } = this;
    const is = (...kinds: EventKind[]) => injected !== undefined && kinds.includes(injected.kind);
    const vector = injected?.vector ?? 0;
    const exception = is('fault', 'trap');
    const interrupt = is('interrupt', 'software');
    return {
      exception: {
        injected: exception,
        vector: exception ? vector : 0,
        hasErrorCode: injected?.errorCode !== undefined,
        errorCode: injected?.errorCode ?? 0,
      },
      interrupt: {
        injected: interrupt,
        vector: interrupt ? vector : 0,
        soft: is('software'),
        shadow: state.u32(CPU.interruptShadow),
      },
      nmi: {
        injected: is('nmi'),
        pending: (apic.attention() & ATTENTION_NMI) !== 0,
        masked: state.u32(CPU.nmiBlocked) !== 0,
      },
      sipiVector: this.#sipiVector,
    };
  }

  setEvents(events: h.VcpuEvents): void {
    const { state, apic } = this;
    this.injected = injectedOf(events);
    state.setU32(CPU.interruptShadow, events.interrupt.shadow);
    state.setU32(CPU.nmiBlocked, events.nmi.masked ? 1 : 0);
    if (events.nmi.pending) this.injectNmi();
    else apic.takeNmi();
    this.#sipiVector = events.sipiVector;
  }

  getMpState(): h.MpState {
    this.acceptInit();
    return MP_STATES[this.activity];
  }

  setMpState(state: h.MpState): void {
    this.activity = ACTIVITIES[state];
    if (state === 'sipi-received') this.apic.accept(DELIVERY_STARTUP, this.#sipiVector, false);
  }

  getLapic(): Uint8Array {
    return this.apic.save();
  }

  setLapic(page: Uint8Array): void {
    if (page.length !== LAPIC_PAGE_SIZE) throw new RangeError(`a LAPIC page has 1024 bytes, not ${page.length}`);
    this.apic.load(page);
  }

  getXcr0(): bigint {
    return XCR0;
  }

  setXcr0(value: bigint): void {
    if (value !== XCR0) throw new RangeError(`the software CPU has no XSAVE: XCR0 is 1, not ${value}`);
  }

  setGuestDebug(debug: h.GuestDebug | undefined): void {
    if (debug !== undefined && debug.breakpoints.length > MAX_BREAKPOINTS) {
      throw new RangeError(`the CPU has ${MAX_BREAKPOINTS} hardware breakpoints`);
    }
    this.debug = debug;
  }

  translate(linear: bigint): Gpa | undefined {
    const { state } = this;
    const gpa = state.core.walk(state.block, BigInt.asIntN(64, linear), ACCESS.read);
    state.setU32(CPU.fault, 0);
    return gpa === -1n ? undefined : Number(gpa);
  }

  injectNmi(): void {
    this.apic.accept(DELIVERY_NMI, 0, false);
  }

  notePause(): void {
    notePause(this);
  }

  /** All state stays with the VM. */
  close(): void {
    this.keepCode();
  }
}

function noMsr(index: number, verb: string): CrosvmError {
  return new CrosvmError('E_MSR', `the software CPU cannot ${verb} the MSR 0x${(index >>> 0).toString(16)}`);
}

/** At most one event is in delivery at a time. */
function injectedOf({ exception, interrupt, nmi }: h.VcpuEvents): GuestEvent | undefined {
  if (exception.injected) {
    const kind = TRAPS.includes(exception.vector) ? 'trap' : 'fault';
    const event = { vector: exception.vector, kind } as const;
    return exception.hasErrorCode ? { ...event, errorCode: exception.errorCode } : event;
  }
  if (nmi.injected) return { vector: VECTOR.nmi, kind: 'nmi' };
  if (interrupt.injected) return { vector: interrupt.vector, kind: interrupt.soft ? 'software' : 'interrupt' };
  return undefined;
}
