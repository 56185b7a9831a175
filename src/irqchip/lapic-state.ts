import { sharedStruct } from '../memory/shared-struct.ts';

/** Register offsets in the xAPIC page (Intel SDM vol. 3, table 11-1); the x2APIC MSR is 0x800 + offset / 16. */
export const ID = 0x20;
export const VERSION = 0x30;
export const TPR = 0x80;
export const PPR = 0xa0;
export const EOI = 0xb0;
export const LDR = 0xd0;
export const DFR = 0xe0;
export const SVR = 0xf0;
export const ISR = 0x100;
export const TMR = 0x180;
export const IRR = 0x200;
export const ESR = 0x280;
export const ICR_LOW = 0x300;
export const ICR_HIGH = 0x310;
export const LVT_TIMER = 0x320;
export const LVT_THERMAL = 0x330;
export const LVT_PERFORMANCE = 0x340;
export const LVT_LINT0 = 0x350;
export const LVT_LINT1 = 0x360;
export const LVT_ERROR = 0x370;
export const TIMER_INITIAL = 0x380;
export const TIMER_CURRENT = 0x390;
export const TIMER_DIVIDE = 0x3e0;
export const SELF_IPI = 0x3f0;

export const LVT_MASKED = 1 << 16;

/** Bytes of the register page that `Vcpu.getLapic` gives. */
export const LAPIC_PAGE_SIZE = 1024;

/** Bits of the attention word; the low 8 bits are the vector that goes with ATTENTION_FIXED. */
export const ATTENTION_FIXED = 1 << 8;
export const ATTENTION_EXTINT = 1 << 9;
export const ATTENTION_NMI = 1 << 10;
export const ATTENTION_INIT = 1 << 11;
export const ATTENTION_STARTUP = 1 << 12;

export const LapicState = sharedStruct({
  /** The registers, at a quarter of their offset. PPR and the current count are computed when they are read. */
  page: ['u32', LAPIC_PAGE_SIZE / 4],
  /** All that the CPU has to look at, in one word: zero means nothing. */
  attention: ['u32', 1],
  /** ATTENTION bits that stay until the CPU takes them. */
  latched: 'u32',
  baseLow: 'u32',
  baseHigh: 'u32',
  /** Errors since software last wrote ESR. */
  errors: 'u8',
  startupVector: 'u8',
  /** Levels of the LINT0 and LINT1 wires. */
  lint: ['u8', 2],
  /** When the timer runs out, in nanoseconds of the clock; Infinity when it does not run. */
  timerExpiry: 'f64',
  /** When the timer wants its tick: the expiry, but not more often than the host can bear. */
  timerWake: 'f64',
  initialized: 'u8',
});

export type LapicShared = InstanceType<typeof LapicState>;

/** The highest bit that is set among the 256 that start at register `base` (ISR, TMR or IRR), or -1. */
export function highestVector(state: LapicShared, base: number): number {
  const { page } = state;
  for (let i = 7; i >= 0; i--) {
    const word = page[(base >> 2) + i * 4]!;
    if (word !== 0) return i * 32 + 31 - Math.clz32(word);
  }
  return -1;
}

function wordIndex(base: number, vector: number): number {
  return (base >> 2) + (vector >> 5) * 4;
}

export function testVector(state: LapicShared, base: number, vector: number): boolean {
  return (state.page[wordIndex(base, vector)]! & (1 << (vector & 31))) !== 0;
}

export function setVector(state: LapicShared, base: number, vector: number, value: boolean): void {
  const i = wordIndex(base, vector);
  const bit = 1 << (vector & 31);
  state.page[i] = value ? state.page[i]! | bit : state.page[i]! & ~bit;
}
