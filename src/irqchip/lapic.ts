import { LAPIC_ADDRESS } from '../arch/x86_64/platform.ts';
import type { Clock, TimedDevice } from '../devices/device.ts';
import { DwordDevice } from '../devices/dword-device.ts';
import * as reg from './lapic-state.ts';
import {
  ATTENTION_EXTINT,
  ATTENTION_FIXED,
  ATTENTION_INIT,
  ATTENTION_NMI,
  ATTENTION_STARTUP,
  type LapicShared,
} from './lapic-state.ts';
import { LapicTimer } from './lapic-timer.ts';
import {
  DELIVERY_EXTINT,
  DELIVERY_FIXED,
  DELIVERY_INIT,
  DELIVERY_LOWEST_PRIORITY,
  DELIVERY_NMI,
  DELIVERY_STARTUP,
} from './msi.ts';

/** What `pendingVector` gives for an interrupt of the PIC, whose vector only `acknowledge` finds out. */
export const EXTINT_PENDING = 256;

export const MSR_APIC_BASE = 0x1b;
const MSR_X2APIC_FIRST = 0x800;
const MSR_X2APIC_LAST = 0x83f;

const BASE_BSP = 1 << 8;
const BASE_X2APIC = 1 << 10;
const BASE_ENABLE = 1 << 11;
const BASE_RESERVED = 0x2ff & ~BASE_BSP;

/** Version 0x14 (integrated APIC) with LVT entries 0-5. */
const VERSION_VALUE = 0x0005_0014;
const SVR_ENABLE = 1 << 8;
const SVR_WRITABLE = 0x3ff;
const ESR_SEND_ILLEGAL_VECTOR = 1 << 5;
const ESR_RECEIVE_ILLEGAL_VECTOR = 1 << 6;
const ICR_WRITABLE = 0x000c_cfff;

/** What must happen after the lock is released: end a level-triggered vector (0-255), or: */
const AFTER_NOTHING = -1;
const AFTER_SEND_IPI = 256;
const AFTER_SELF_IPI = 257;

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
  readonly #timer: LapicTimer;
  /** What the last successful `readMsr` of this thread read. */
  msrLow = 0;
  msrHigh = 0;

  constructor(state: LapicShared, id: number, clock: Clock, fabric: ApicFabric) {
    super();
    this.id = id;
    this.#state = state;
    this.#fabric = fabric;
    this.#timer = new LapicTimer(state, clock);
    state.lock.acquire();
    if (state.initialized === 0) {
      state.baseLow = LAPIC_ADDRESS | BASE_ENABLE | (id === 0 ? BASE_BSP : 0);
      this.#reset();
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
        this.#refresh();
        return vector;
      }
      s.latched &= ~ATTENTION_EXTINT;
      this.#refresh();
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
    this.#reset();
    s.latched = startup;
    this.#refresh();
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
    if ((s.baseLow & (BASE_ENABLE | BASE_X2APIC)) !== BASE_ENABLE) return -1;
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
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST || !this.#isX2apic()) return false;
    const offset = (index - MSR_X2APIC_FIRST) << 4;
    if (!isX2Readable(offset)) return false;
    this.msrLow = this.#read(offset);
    if (offset === reg.ICR_LOW) this.msrHigh = s.page[reg.ICR_HIGH >> 2]!;
    return true;
  }

  /** Writes IA32_APIC_BASE or an x2APIC register; false for #GP. */
  writeMsr(index: number, low: number, high: number): boolean {
    if (index === MSR_APIC_BASE) return this.#writeBase(low >>> 0, high >>> 0);
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST || !this.#isX2apic()) return false;
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
    this.#timer.setTscDeadline(deadline);
    s.lock.release();
  }

  /** Whether reads of IA32_TSC_DEADLINE give the value written (true) or zero. */
  tscDeadlineArmed(): boolean {
    return this.#timer.tscDeadlineArmed();
  }

  deadline(): number {
    return this.#state.timerWake;
  }

  tick(): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      if (!this.#timer.takeExpired()) return;
      const lvt = s.page[reg.LVT_TIMER >> 2]!;
      if ((lvt & reg.LVT_MASKED) === 0) this.#acceptFixed(lvt & 0xff, false);
      this.#refresh();
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
    page[reg.PPR >> 2] = this.#ppr();
    page[reg.TIMER_CURRENT >> 2] = this.#timer.currentCount();
    s.lock.release();
    return new Uint8Array(page.buffer);
  }

  /** Takes over a register page; missing bytes are zero. The identification registers stay. */
  load(page: Uint8Array): void {
    const s = this.#state;
    const bytes = new Uint8Array(reg.LAPIC_PAGE_SIZE);
    bytes.set(page.subarray(0, bytes.length));
    s.lock.acquire();
    s.page.set(new Uint32Array(bytes.buffer));
    s.page[reg.VERSION >> 2] = VERSION_VALUE;
    this.#setIdentity();
    this.#timer.resume();
    this.#refresh();
    s.lock.release();
    this.#notify();
  }

  // The side of the interrupt fabric.

  /** Takes an interrupt message. */
  accept(mode: number, vector: number, level: boolean): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      if ((s.baseLow & BASE_ENABLE) === 0) return;
      this.#accept(mode, vector, level);
      this.#refresh();
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
      const rises = level && s.lint[pin] === 0;
      s.lint[pin] = level ? 1 : 0;
      const lvt = s.page[(pin === 0 ? reg.LVT_LINT0 : reg.LVT_LINT1) >> 2]!;
      const mode = (lvt >> 8) & 7;
      const masked = (lvt & reg.LVT_MASKED) !== 0 || (s.baseLow & BASE_ENABLE) === 0;
      // ExtINT follows the wire's level: #refresh looks at it.
      if (rises && !masked && mode !== DELIVERY_EXTINT) this.#accept(mode, lvt & 0xff, false);
      this.#refresh();
    } finally {
      s.lock.release();
    }
    this.#notify();
  }

  /** Whether a message for `destination` is for this APIC (SDM vol. 3, 11.6.2 and 11.12.10). */
  isAddressed(destination: number, broadcast: number, logical: boolean): boolean {
    const s = this.#state;
    if ((s.baseLow & BASE_ENABLE) === 0) return false;
    if (destination === broadcast) return true;
    if (!logical) return destination === this.id;
    const ldr = s.page[reg.LDR >> 2]!;
    if (this.#isX2apic()) return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0;
    if (destination > 0xff) return false;
    const own = ldr >>> 24;
    if (s.page[reg.DFR >> 2]! >>> 28 === 0xf) return (own & destination) !== 0;
    return own >> 4 === destination >> 4 && (own & destination & 0x0f) !== 0;
  }

  /** Whether the software-enable bit lets fixed interrupts in. */
  isSoftwareEnabled(): boolean {
    return (this.#state.page[reg.SVR >> 2]! & SVR_ENABLE) !== 0;
  }

  /** What lowest-priority delivery compares. */
  arbitrationPriority(): number {
    return this.#ppr();
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

  #isX2apic(): boolean {
    return (this.#state.baseLow & BASE_X2APIC) !== 0;
  }

  #notify(): void {
    if (this.#state.attention[0] !== 0) this.#fabric.notify(this.id);
  }

  #take(bit: number): boolean {
    const s = this.#state;
    if ((s.attention[0]! & bit) === 0) return false;
    s.lock.acquire();
    s.latched &= ~bit;
    this.#refresh();
    s.lock.release();
    return true;
  }

  /** State after power-up and INIT (SDM vol. 3, 11.4.7); the APIC base stays. */
  #reset(): void {
    const s = this.#state;
    s.page.fill(0);
    s.page[reg.VERSION >> 2] = VERSION_VALUE;
    s.page[reg.DFR >> 2] = 0xffff_ffff;
    s.page[reg.SVR >> 2] = 0xff;
    for (let lvt = reg.LVT_TIMER; lvt <= reg.LVT_ERROR; lvt += 0x10) s.page[lvt >> 2] = reg.LVT_MASKED;
    s.latched = 0;
    s.errors = 0;
    this.#setIdentity();
    this.#timer.stop();
    this.#refresh();
  }

  #setIdentity(): void {
    const { page } = this.#state;
    if (!this.#isX2apic()) {
      page[reg.ID >> 2] = this.id << 24;
      return;
    }
    page[reg.ID >> 2] = this.id;
    page[reg.LDR >> 2] = ((this.id >> 4) << 16) | (1 << (this.id & 15));
  }

  #read(offset: number): number {
    const s = this.#state;
    s.lock.acquire();
    try {
      if (offset === reg.PPR) return this.#ppr();
      if (offset === reg.TIMER_CURRENT) return this.#timer.currentCount();
      return s.page[offset >> 2]!;
    } finally {
      s.lock.release();
    }
  }

  #write(offset: number, value: number): void {
    const s = this.#state;
    let after = AFTER_NOTHING;
    s.lock.acquire();
    try {
      after = this.#writeLocked(offset, value);
      this.#refresh();
    } finally {
      s.lock.release();
    }
    if (after === AFTER_SEND_IPI) this.#sendIpi();
    else if (after === AFTER_SELF_IPI) this.#fabric.sendIpi(this.id, 1, 0, 0xff, false, DELIVERY_FIXED, value & 0xff);
    else if (after >= 0) this.#fabric.endOfInterrupt(after);
  }

  /** Returns what is left to do without the lock. */
  #writeLocked(offset: number, value: number): number {
    const { page } = this.#state;
    switch (offset) {
      case reg.TPR:
        page[offset >> 2] = value & 0xff;
        break;
      case reg.EOI:
        return this.#endOfInterrupt();
      case reg.LDR:
        if (!this.#isX2apic()) page[offset >> 2] = value & 0xff00_0000;
        break;
      case reg.DFR:
        page[offset >> 2] = value | 0x0fff_ffff;
        break;
      case reg.SVR:
        this.#writeSvr(value & SVR_WRITABLE);
        break;
      case reg.ESR:
        page[offset >> 2] = this.#state.errors;
        this.#state.errors = 0;
        break;
      case reg.ICR_LOW:
        page[offset >> 2] = value & ICR_WRITABLE;
        return AFTER_SEND_IPI;
      case reg.ICR_HIGH:
        page[offset >> 2] = value & 0xff00_0000;
        break;
      case reg.SELF_IPI:
        return AFTER_SELF_IPI;
      case reg.TIMER_INITIAL:
        this.#timer.start(value);
        break;
      case reg.TIMER_DIVIDE:
        this.#timer.setDivide(value);
        break;
      default:
        this.#writeLvt(offset, value);
    }
    return AFTER_NOTHING;
  }

  #writeLvt(offset: number, value: number): void {
    const { page } = this.#state;
    let lvt = value;
    switch (offset) {
      case reg.LVT_TIMER:
        lvt &= 0x7_00ff;
        break;
      case reg.LVT_THERMAL:
      case reg.LVT_PERFORMANCE:
        lvt &= 0x1_07ff;
        break;
      case reg.LVT_LINT0:
      case reg.LVT_LINT1:
        lvt &= 0x1_a7ff;
        break;
      case reg.LVT_ERROR:
        lvt &= 0x1_00ff;
        break;
      default: // read-only or not there
        return;
    }
    if (!this.isSoftwareEnabled()) lvt |= reg.LVT_MASKED;
    if (offset === reg.LVT_TIMER) this.#timer.setLvt(lvt);
    else page[offset >> 2] = lvt;
  }

  #writeSvr(value: number): void {
    const { page } = this.#state;
    page[reg.SVR >> 2] = value;
    if ((value & SVR_ENABLE) !== 0) return;
    for (let lvt = reg.LVT_TIMER; lvt <= reg.LVT_ERROR; lvt += 0x10) page[lvt >> 2] = page[lvt >> 2]! | reg.LVT_MASKED;
  }

  #writeBase(low: number, high: number): boolean {
    const s = this.#state;
    const modes = BASE_ENABLE | BASE_X2APIC;
    const from = s.baseLow & modes;
    const to = low & modes;
    if ((low & BASE_RESERVED) !== 0 || high >= 1 << 20) return false;
    // Legal transitions: SDM vol. 3, figure 11-27.
    if (to === BASE_X2APIC || (from === modes && to === BASE_ENABLE) || (from === 0 && to === modes)) return false;
    s.lock.acquire();
    s.baseLow = (low & ~BASE_BSP) | (s.baseLow & BASE_BSP);
    s.baseHigh = high;
    if (to === 0 && from !== 0) this.#reset();
    if (to !== from) this.#setIdentity();
    this.#refresh();
    s.lock.release();
    return true;
  }

  /** Returns the vector if the IOAPIC has to hear of it. */
  #endOfInterrupt(): number {
    const s = this.#state;
    const vector = reg.highestVector(s, reg.ISR);
    if (vector < 0) return AFTER_NOTHING;
    reg.setVector(s, reg.ISR, vector, false);
    return reg.testVector(s, reg.TMR, vector) ? vector : AFTER_NOTHING;
  }

  #sendIpi(): void {
    const { page } = this.#state;
    const low = page[reg.ICR_LOW >> 2]!;
    const high = page[reg.ICR_HIGH >> 2]!;
    const x2 = this.#isX2apic();
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
    this.#raiseError(ESR_SEND_ILLEGAL_VECTOR);
    this.#refresh();
    s.lock.release();
  }

  #accept(mode: number, vector: number, level: boolean): void {
    const s = this.#state;
    switch (mode) {
      case DELIVERY_FIXED:
      case DELIVERY_LOWEST_PRIORITY:
        this.#acceptFixed(vector, level);
        break;
      case DELIVERY_NMI:
        s.latched |= ATTENTION_NMI;
        break;
      case DELIVERY_INIT:
        s.latched = (s.latched | ATTENTION_INIT) & ~ATTENTION_STARTUP;
        break;
      case DELIVERY_STARTUP:
        s.latched |= ATTENTION_STARTUP;
        s.startupVector = vector;
        break;
      case DELIVERY_EXTINT:
        s.latched |= ATTENTION_EXTINT;
        break;
      default: // SMI
        break;
    }
  }

  #acceptFixed(vector: number, level: boolean): void {
    const s = this.#state;
    if (!this.isSoftwareEnabled()) return;
    if (vector < 16) {
      this.#raiseError(ESR_RECEIVE_ILLEGAL_VECTOR);
      return;
    }
    reg.setVector(s, reg.IRR, vector, true);
    reg.setVector(s, reg.TMR, vector, level);
  }

  #raiseError(bit: number): void {
    const s = this.#state;
    s.errors |= bit;
    const lvt = s.page[reg.LVT_ERROR >> 2]!;
    // An LVT with an illegal vector of its own cannot report itself.
    if ((lvt & reg.LVT_MASKED) === 0 && (lvt & 0xff) >= 16) this.#acceptFixed(lvt & 0xff, false);
  }

  #ppr(): number {
    const tpr = this.#state.page[reg.TPR >> 2]!;
    const inService = Math.max(reg.highestVector(this.#state, reg.ISR), 0);
    return tpr >> 4 >= inService >> 4 ? tpr : inService & 0xf0;
  }

  /** Recomputes the attention word. Every change of state ends here. */
  #refresh(): void {
    const s = this.#state;
    const enabled = (s.baseLow & BASE_ENABLE) !== 0;
    let attention = s.latched;
    const lint0 = s.page[reg.LVT_LINT0 >> 2]!;
    const lint0IsExtInt = (lint0 & (reg.LVT_MASKED | 0x700)) === DELIVERY_EXTINT << 8;
    // Without a LAPIC the PIC is wired straight to the CPU.
    if (s.lint[0] !== 0 && (lint0IsExtInt || !enabled)) attention |= ATTENTION_EXTINT;
    const vector = enabled ? reg.highestVector(s, reg.IRR) : -1;
    if (vector >= 0 && vector >> 4 > this.#ppr() >> 4) attention |= ATTENTION_FIXED | vector;
    Atomics.store(s.attention, 0, attention);
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
