import type { Clock, TimedDevice } from '../devices/device.ts';
import { DwordDevice } from '../devices/dword-device.ts';
import { AFTER_NOTHING, AFTER_SELF_IPI, AFTER_SEND_IPI, ESR_SEND_ILLEGAL_VECTOR, LapicCore } from './lapic-core.ts';
import * as reg from './lapic-state.ts';
import {
  ATTENTION_EXTINT,
  ATTENTION_FIXED,
  ATTENTION_INIT,
  ATTENTION_NMI,
  ATTENTION_STARTUP,
  type LapicShared,
} from './lapic-state.ts';
import { DELIVERY_FIXED, DELIVERY_INIT, DELIVERY_LOWEST_PRIORITY } from './msi.ts';

/** What `pendingVector` gives for an interrupt of the PIC, whose vector only `acknowledge` finds out. */
export const EXTINT_PENDING = 256;

export const MSR_APIC_BASE = 0x1b;
const MSR_X2APIC_FIRST = 0x800;
const MSR_X2APIC_LAST = 0x83f;

/** The other side of a LAPIC: its fellows and the IOAPIC. Called without the LAPIC's lock. */
export interface ApicFabric {
  /**
   * Delivers an interprocessor interrupt. `shorthand` as in ICR bits 18-19; `broadcast` is the destination that means
   * everyone (0xff or, in x2APIC mode, 0xffffffff).
   */
  sendIpi(
    source: number,
    shorthand: number,
    destination: number,
    broadcast: number,
    logical: boolean,
    mode: number,
    vector: number,
  ): void;
  /** A level-triggered interrupt was ended. */
  endOfInterrupt(vector: number): void;
  /** The PIC's interrupt acknowledge cycle. */
  picAcknowledge(): number;
  /** vCPU `id` has something to look at. */
  notify(id: number): void;
}

/**
 * A local APIC (Intel SDM vol. 3, chapter 11): xAPIC page, x2APIC registers, timer and local interrupt pins.
 *
 * Its state is shared: any thread may call `accept`, `setLint` and `isAddressed`; registers and the take functions are
 * for the vCPU's own thread. There is no system management mode, so SMIs are dropped.
 */
export class Lapic extends DwordDevice implements TimedDevice {
  readonly id: number;
  readonly #state: LapicShared;
  readonly #fabric: ApicFabric;
  readonly #core: LapicCore;
  /** What the last successful `readMsr` of this thread read. */
  msrLow = 0;
  msrHigh = 0;

  constructor(state: LapicShared, id: number, clock: Clock, fabric: ApicFabric) {
    super();
    this.id = id;
    this.#state = state;
    this.#fabric = fabric;
    this.#core = new LapicCore(state, id, clock);
    state.lock.acquire();
    if (state.initialized === 0) {
      this.#core.initialize();
      state.initialized = 1;
    }
    state.lock.release();
  }

  // The CPU's side.

  /** All ATTENTION bits at once; zero in the common case, for one load in the CPU's loop. */
  attention(): number {
    return this.#state.attention[0]!;
  }

  /** The same word in shared memory. */
  get attentionWord(): Uint32Array {
    return this.#state.attention;
  }

  /** The vector that an enabled CPU would take now, EXTINT_PENDING for one of the PIC, or -1. PIC interrupts go first. */
  pendingVector(): number {
    const attention = this.#state.attention[0]!;
    if (attention & ATTENTION_EXTINT) return EXTINT_PENDING;
    return attention & ATTENTION_FIXED ? attention & 0xff : -1;
  }

  /** Takes what `pendingVector` promised: returns its vector and puts it into service. */
  acknowledge(): number {
    const s = this.#state;
    s.lock.acquire();
    try {
      const attention = s.attention[0]!;
      if ((attention & ATTENTION_EXTINT) === 0) {
        if ((attention & ATTENTION_FIXED) === 0) return s.page[reg.SVR >> 2]! & 0xff;
        const vector = attention & 0xff;
        reg.setVector(s, reg.IRR, vector, false);
        reg.setVector(s, reg.ISR, vector, true);
        this.#core.refresh();
        return vector;
      }
      s.latched &= ~ATTENTION_EXTINT;
      this.#core.refresh();
    } finally {
      s.lock.release();
    }
    return this.#fabric.picAcknowledge();
  }

  takeNmi(): boolean {
    return this.#take(ATTENTION_NMI);
  }

  /** Whether an INIT arrived; the LAPIC has been reset then, and the CPU resets itself and waits for a SIPI. */
  takeInit(): boolean {
    if ((this.#state.attention[0]! & ATTENTION_INIT) === 0) return false;
    const s = this.#state;
    s.lock.acquire();
    const startup = s.latched & ATTENTION_STARTUP;
    this.#core.reset();
    s.latched = startup;
    this.#core.refresh();
    s.lock.release();
    return true;
  }

  /** The vector of a start-up IPI, or -1. A CPU that does not wait for one takes it and drops it. */
  takeSipi(): number {
    const vector = this.#state.startupVector;
    return this.#take(ATTENTION_STARTUP) ? vector : -1;
  }

  get tpr(): number {
    return this.#state.page[reg.TPR >> 2]!;
  }

  /** 0-255; CR8 is bits 4-7. */
  set tpr(value: number) {
    this.#write(reg.TPR, value & 0xff);
  }

  /** Where the xAPIC page is, or -1 while there is none (disabled, or in x2APIC mode). */
  get mmioBase(): number {
    const s = this.#state;
    if (!this.#core.isEnabled || this.#core.isX2apic) return -1;
    return s.baseHigh * 0x1_0000_0000 + ((s.baseLow & 0xffff_f000) >>> 0);
  }

  /** Reads IA32_APIC_BASE or an x2APIC register into `msrLow` and `msrHigh`; false for #GP. */
  readMsr(index: number): boolean {
    const s = this.#state;
    this.msrHigh = 0;
    if (index === MSR_APIC_BASE) {
      this.msrLow = s.baseLow;
      this.msrHigh = s.baseHigh;
      return true;
    }
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST || !this.#core.isX2apic) return false;
    const offset = (index - MSR_X2APIC_FIRST) << 4;
    if (!isX2Readable(offset)) return false;
    this.msrLow = this.#read(offset);
    if (offset === reg.ICR_LOW) this.msrHigh = s.page[reg.ICR_HIGH >> 2]!;
    return true;
  }

  /** Writes IA32_APIC_BASE or an x2APIC register; false for #GP. */
  writeMsr(index: number, low: number, high: number): boolean {
    if (index === MSR_APIC_BASE) {
      this.#state.lock.acquire();
      const accepted = this.#core.writeBase(low >>> 0, high >>> 0);
      this.#state.lock.release();
      return accepted;
    }
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST || !this.#core.isX2apic) return false;
    const offset = (index - MSR_X2APIC_FIRST) << 4;
    const value = low >>> 0;
    if (offset === reg.ICR_LOW) this.#state.page[reg.ICR_HIGH >> 2] = high;
    else if (high !== 0 || !isX2Writable(offset, value)) return false;
    this.#write(offset, value);
    return true;
  }

  /** Arms IA32_TSC_DEADLINE for a time of the clock in nanoseconds; Infinity disarms it. */
  setTscDeadline(deadline: number): void {
    const s = this.#state;
    s.lock.acquire();
    this.#core.timer.setTscDeadline(deadline);
    s.lock.release();
  }

  /** Whether reads of IA32_TSC_DEADLINE give the value written (true) or zero. */
  tscDeadlineArmed(): boolean {
    return this.#core.timer.tscDeadlineArmed();
  }

  deadline(): number {
    return this.#state.timerWake;
  }

  tick(): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      if (!this.#core.timer.takeExpired()) return;
      this.#core.expireTimer();
      this.#core.refresh();
    } finally {
      s.lock.release();
    }
  }

  /** The register page, in the layout of the xAPIC. */
  save(): Uint8Array {
    const s = this.#state;
    const page = new Uint32Array(reg.LAPIC_PAGE_SIZE / 4);
    s.lock.acquire();
    page.set(s.page);
    page[reg.PPR >> 2] = this.#core.ppr();
    page[reg.TIMER_CURRENT >> 2] = this.#core.timer.currentCount();
    s.lock.release();
    return new Uint8Array(page.buffer);
  }

  /** Takes over a register page; missing bytes are zero. The identification registers stay. */
  load(page: Uint8Array): void {
    const s = this.#state;
    const bytes = new Uint8Array(reg.LAPIC_PAGE_SIZE);
    bytes.set(page.subarray(0, bytes.length));
    s.lock.acquire();
    this.#core.load(bytes);
    this.#core.refresh();
    s.lock.release();
    this.#notify();
  }

  // The side of the interrupt fabric.

  /** Takes an interrupt message. */
  accept(mode: number, vector: number, level: boolean): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      if (!this.#core.isEnabled) return;
      this.#core.accept(mode, vector, level);
      this.#core.refresh();
    } finally {
      s.lock.release();
    }
    this.#notify();
  }

  /** Drives the LINT0 (pin 0) or LINT1 (pin 1) wire. */
  setLint(pin: 0 | 1, level: boolean): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      this.#core.setLint(pin, level);
      this.#core.refresh();
    } finally {
      s.lock.release();
    }
    this.#notify();
  }

  /** Whether a message for `destination` is for this APIC; `broadcast` is the destination that means everyone. */
  isAddressed(destination: number, broadcast: number, logical: boolean): boolean {
    return this.#core.isAddressed(destination, broadcast, logical);
  }

  /** The software-enable bit: whether fixed interrupts are let in. */
  get isSoftwareEnabled(): boolean {
    return this.#core.isSoftwareEnabled;
  }

  /** What lowest-priority delivery compares. */
  arbitrationPriority(): number {
    return this.#core.ppr();
  }

  // The xAPIC page.

  protected readRegister(offset: number): number {
    if (this.mmioBase < 0) return 0xffff_ffff;
    return (offset & 0x0f) === 0 && offset < reg.LAPIC_PAGE_SIZE ? this.#read(offset) : 0;
  }

  protected writeRegister(offset: number, value: number): void {
    if (this.mmioBase < 0 || (offset & 0x0f) !== 0 || offset >= reg.SELF_IPI) return;
    this.#write(offset, value);
  }

  #notify(): void {
    if (this.#state.attention[0] !== 0) this.#fabric.notify(this.id);
  }

  #take(bit: number): boolean {
    const s = this.#state;
    if ((s.attention[0]! & bit) === 0) return false;
    s.lock.acquire();
    s.latched &= ~bit;
    this.#core.refresh();
    s.lock.release();
    return true;
  }

  #read(offset: number): number {
    const s = this.#state;
    s.lock.acquire();
    try {
      return this.#core.read(offset);
    } finally {
      s.lock.release();
    }
  }

  #write(offset: number, value: number): void {
    const s = this.#state;
    let after = AFTER_NOTHING;
    s.lock.acquire();
    try {
      after = this.#core.write(offset, value);
      this.#core.refresh();
    } finally {
      s.lock.release();
    }
    if (after === AFTER_SEND_IPI) this.#sendIpi();
    else if (after === AFTER_SELF_IPI) this.#fabric.sendIpi(this.id, 1, 0, 0xff, false, DELIVERY_FIXED, value & 0xff);
    else if (after >= 0) this.#fabric.endOfInterrupt(after);
  }

  #sendIpi(): void {
    const { page } = this.#state;
    const low = page[reg.ICR_LOW >> 2]!;
    const high = page[reg.ICR_HIGH >> 2]!;
    const x2 = this.#core.isX2apic;
    const mode = (low >> 8) & 7;
    const vector = low & 0xff;
    const deassert = (low & 0xc000) === 0x8000;
    if (mode === DELIVERY_INIT && deassert) return; // only old APICs synchronized their arbitration IDs by it
    if (mode <= DELIVERY_LOWEST_PRIORITY && vector < 16) {
      this.#sendError();
      return;
    }
    const destination = x2 ? high : high >>> 24;
    const broadcast = x2 ? 0xffff_ffff : 0xff;
    this.#fabric.sendIpi(this.id, (low >> 18) & 3, destination, broadcast, (low & 0x800) !== 0, mode, vector);
  }

  #sendError(): void {
    const s = this.#state;
    s.lock.acquire();
    this.#core.raiseError(ESR_SEND_ILLEGAL_VECTOR);
    this.#core.refresh();
    s.lock.release();
  }
}

function isX2Readable(offset: number): boolean {
  if (offset === reg.ID || offset === reg.VERSION || offset === reg.TPR || offset === reg.PPR) return true;
  if (offset === reg.LDR || offset === reg.SVR || offset === reg.ICR_LOW || offset === reg.TIMER_DIVIDE) return true;
  return (offset >= reg.ISR && offset <= reg.ESR) || (offset >= reg.LVT_TIMER && offset <= reg.TIMER_CURRENT);
}

function isX2Writable(offset: number, value: number): boolean {
  switch (offset) {
    case reg.TPR:
    case reg.SELF_IPI:
      return value <= 0xff;
    case reg.EOI:
    case reg.ESR:
      return value === 0;
    case reg.SVR:
    case reg.TIMER_DIVIDE:
      return true;
    default:
      return offset >= reg.LVT_TIMER && offset <= reg.TIMER_INITIAL;
  }
}
