import { LAPIC_ADDRESS } from '../arch/x86_64/platform.ts';
import type { Clock } from '../devices/device.ts';
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

const BASE_BSP = 1 << 8;
const BASE_X2APIC = 1 << 10;
const BASE_ENABLE = 1 << 11;
const BASE_RESERVED = 0x2ff & ~BASE_BSP;

/** Version 0x14 (integrated APIC) with LVT entries 0-5. */
const VERSION_VALUE = 0x0005_0014;
const SVR_ENABLE = 1 << 8;
const SVR_WRITABLE = 0x3ff;
const ICR_WRITABLE = 0x000c_cfff;

/** Bits of ESR (SDM vol. 3, 11.5.3). */
export const ESR_SEND_ILLEGAL_VECTOR = 1 << 5;
const ESR_RECEIVE_ILLEGAL_VECTOR = 1 << 6;

/** What `write` leaves to do without the lock: to end a level-triggered vector (0-255), or one of these. */
export const AFTER_NOTHING = -1;
export const AFTER_SEND_IPI = 256;
export const AFTER_SELF_IPI = 257;

/**
 * The registers of a local APIC and what they do to each other (Intel SDM vol. 3, chapter 11). Its user holds the lock of
 * the state over each call, except for the getters, and calls `refresh` after changes.
 */
export class LapicCore {
  readonly id: number;
  readonly state: LapicShared;
  readonly timer: LapicTimer;

  constructor(state: LapicShared, id: number, clock: Clock) {
    this.id = id;
    this.state = state;
    this.timer = new LapicTimer(state, clock);
  }

  /** State after power-up. */
  initialize(): void {
    this.state.baseLow = LAPIC_ADDRESS | BASE_ENABLE | (this.id === 0 ? BASE_BSP : 0);
    this.reset();
  }

  get isEnabled(): boolean {
    return (this.state.baseLow & BASE_ENABLE) !== 0;
  }

  get isX2apic(): boolean {
    return (this.state.baseLow & BASE_X2APIC) !== 0;
  }

  /** The software-enable bit: whether fixed interrupts are let in. */
  get isSoftwareEnabled(): boolean {
    return (this.state.page[reg.SVR >> 2]! & SVR_ENABLE) !== 0;
  }

  /** Whether a message for `destination` is for this APIC (SDM vol. 3, 11.6.2 and 11.12.10). */
  isAddressed(destination: number, broadcast: number, logical: boolean): boolean {
    const s = this.state;
    if ((s.baseLow & BASE_ENABLE) === 0) return false;
    if (destination === broadcast) return true;
    if (!logical) return destination === this.id;
    const ldr = s.page[reg.LDR >> 2]!;
    if (this.isX2apic) return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0;
    if (destination > 0xff) return false;
    const own = ldr >>> 24;
    if (s.page[reg.DFR >> 2]! >>> 28 === 0xf) return (own & destination) !== 0;
    return own >> 4 === destination >> 4 && (own & destination & 0x0f) !== 0;
  }

  /**
   * State after power-up and INIT (SDM vol. 3, 11.4.7); the APIC base stays. LINT0 of the bootstrap processor is what
   * firmware makes of it, virtual wire mode (MultiProcessor Specification, 3.6.2.2): guests that use the PIC expect it.
   */
  reset(): void {
    const s = this.state;
    s.page.fill(0);
    s.page[reg.VERSION >> 2] = VERSION_VALUE;
    s.page[reg.DFR >> 2] = 0xffff_ffff;
    s.page[reg.SVR >> 2] = 0xff;
    for (let lvt = reg.LVT_TIMER; lvt <= reg.LVT_ERROR; lvt += 0x10) s.page[lvt >> 2] = reg.LVT_MASKED;
    if ((s.baseLow & BASE_BSP) !== 0) s.page[reg.LVT_LINT0 >> 2] = DELIVERY_EXTINT << 8;
    s.latched = 0;
    s.errors = 0;
    this.#setIdentity();
    this.timer.stop();
    this.refresh();
  }

  /** Takes over a register page of 1 KiB. The identification registers stay. */
  load(bytes: Uint8Array): void {
    this.state.page.set(new Uint32Array(bytes.buffer));
    this.state.page[reg.VERSION >> 2] = VERSION_VALUE;
    this.#setIdentity();
    this.timer.resume();
  }

  read(offset: number): number {
    if (offset === reg.PPR) return this.ppr();
    if (offset === reg.TIMER_CURRENT) return this.timer.currentCount();
    return this.state.page[offset >> 2]!;
  }

  /** Returns what is left to do without the lock. */
  write(offset: number, value: number): number {
    const { page } = this.state;
    switch (offset) {
      case reg.TPR:
        page[offset >> 2] = value & 0xff;
        break;
      case reg.EOI:
        return this.#endOfInterrupt();
      case reg.LDR:
        if (!this.isX2apic) page[offset >> 2] = value & 0xff00_0000;
        break;
      case reg.DFR:
        page[offset >> 2] = value | 0x0fff_ffff;
        break;
      case reg.SVR:
        this.#writeSvr(value & SVR_WRITABLE);
        break;
      case reg.ESR:
        page[offset >> 2] = this.state.errors;
        this.state.errors = 0;
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
        this.timer.start(value);
        break;
      case reg.TIMER_DIVIDE:
        this.timer.setDivide(value);
        break;
      default:
        this.#writeLvt(offset, value);
    }
    return AFTER_NOTHING;
  }

  /** Writes IA32_APIC_BASE; false for #GP. */
  writeBase(low: number, high: number): boolean {
    const s = this.state;
    const modes = BASE_ENABLE | BASE_X2APIC;
    const from = s.baseLow & modes;
    const to = low & modes;
    if ((low & BASE_RESERVED) !== 0 || high >= 1 << 20) return false;
    // Legal transitions: SDM vol. 3, figure 11-27.
    if (to === BASE_X2APIC || (from === modes && to === BASE_ENABLE) || (from === 0 && to === modes)) return false;
    s.baseLow = (low & ~BASE_BSP) | (s.baseLow & BASE_BSP);
    s.baseHigh = high;
    if (to === 0 && from !== 0) this.reset();
    if (to !== from) this.#setIdentity();
    this.refresh();
    return true;
  }

  /** Takes an interrupt message. */
  accept(mode: number, vector: number, level: boolean): void {
    const s = this.state;
    switch (mode) {
      case DELIVERY_FIXED:
      case DELIVERY_LOWEST_PRIORITY:
        this.acceptFixed(vector, level);
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

  /** Drives LINT0 or LINT1. */
  setLint(pin: 0 | 1, level: boolean): void {
    const s = this.state;
    const rises = level && s.lint[pin] === 0;
    s.lint[pin] = level ? 1 : 0;
    const lvt = s.page[(pin === 0 ? reg.LVT_LINT0 : reg.LVT_LINT1) >> 2]!;
    const mode = (lvt >> 8) & 7;
    const masked = (lvt & reg.LVT_MASKED) !== 0 || !this.isEnabled;
    // ExtINT follows the wire's level: refresh looks at it.
    if (rises && !masked && mode !== DELIVERY_EXTINT) this.accept(mode, lvt & 0xff, false);
  }

  /** The timer ran out. */
  expireTimer(): void {
    const lvt = this.state.page[reg.LVT_TIMER >> 2]!;
    if ((lvt & reg.LVT_MASKED) === 0) this.acceptFixed(lvt & 0xff, false);
  }

  acceptFixed(vector: number, level: boolean): void {
    const s = this.state;
    if (!this.isSoftwareEnabled) return;
    if (vector < 16) {
      this.raiseError(ESR_RECEIVE_ILLEGAL_VECTOR);
      return;
    }
    reg.setVector(s, reg.IRR, vector, true);
    reg.setVector(s, reg.TMR, vector, level);
  }

  raiseError(bit: number): void {
    const s = this.state;
    s.errors |= bit;
    const lvt = s.page[reg.LVT_ERROR >> 2]!;
    // An LVT with an illegal vector of its own cannot report itself.
    if ((lvt & reg.LVT_MASKED) === 0 && (lvt & 0xff) >= 16) this.acceptFixed(lvt & 0xff, false);
  }

  ppr(): number {
    const tpr = this.state.page[reg.TPR >> 2]!;
    const inService = Math.max(reg.highestVector(this.state, reg.ISR), 0);
    return tpr >> 4 >= inService >> 4 ? tpr : inService & 0xf0;
  }

  /** Recomputes the attention word. Every change of state ends here. */
  refresh(): void {
    const s = this.state;
    const enabled = (s.baseLow & BASE_ENABLE) !== 0;
    let attention = s.latched;
    const lint0 = s.page[reg.LVT_LINT0 >> 2]!;
    const lint0IsExtInt = (lint0 & (reg.LVT_MASKED | 0x700)) === DELIVERY_EXTINT << 8;
    // Without a LAPIC the PIC is wired straight to the CPU.
    if (s.lint[0] !== 0 && (lint0IsExtInt || !enabled)) attention |= ATTENTION_EXTINT;
    const vector = enabled ? reg.highestVector(s, reg.IRR) : -1;
    if (vector >= 0 && vector >> 4 > this.ppr() >> 4) attention |= ATTENTION_FIXED | vector;
    Atomics.store(s.attention, 0, attention);
  }

  #setIdentity(): void {
    const { page } = this.state;
    if (!this.isX2apic) {
      page[reg.ID >> 2] = this.id << 24;
      return;
    }
    page[reg.ID >> 2] = this.id;
    page[reg.LDR >> 2] = ((this.id >> 4) << 16) | (1 << (this.id & 15));
  }

  #writeLvt(offset: number, value: number): void {
    const { page } = this.state;
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
    if (!this.isSoftwareEnabled) lvt |= reg.LVT_MASKED;
    if (offset === reg.LVT_TIMER) this.timer.setLvt(lvt);
    else page[offset >> 2] = lvt;
  }

  #writeSvr(value: number): void {
    const { page } = this.state;
    page[reg.SVR >> 2] = value;
    if ((value & SVR_ENABLE) !== 0) return;
    for (let lvt = reg.LVT_TIMER; lvt <= reg.LVT_ERROR; lvt += 0x10) page[lvt >> 2] = page[lvt >> 2]! | reg.LVT_MASKED;
  }

  /** Returns the vector if the IOAPIC has to hear of it. */
  #endOfInterrupt(): number {
    const s = this.state;
    const vector = reg.highestVector(s, reg.ISR);
    if (vector < 0) return AFTER_NOTHING;
    reg.setVector(s, reg.ISR, vector, false);
    return reg.testVector(s, reg.TMR, vector) ? vector : AFTER_NOTHING;
  }
}
