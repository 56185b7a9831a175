/** What system instructions need of a vCPU besides its state, and what they tell the loop that runs it. */
import type { Clock } from '../../../devices/device.ts';
import type { CpuidEntry } from '../../hypervisor.ts';
import type { CpuState } from './cpu-state.ts';

/**
 * How a vCPU goes on after an instruction: behind it ('next': the caller advances RIP), at RIP as it stands now ('jump'),
 * behind it but not before an interrupt ('halt': the caller advances RIP), or not at all ('shutdown': triple fault).
 */
export type Next = 'next' | 'jump' | 'halt' | 'shutdown';

/** The local APIC, as the CPU sees it. */
export interface ApicRegisters {
  /** What the last successful readMsr read. */
  readonly msrLow: number;
  readonly msrHigh: number;
  /** IA32_APIC_BASE or an x2APIC register; false for #GP. */
  readMsr(index: number): boolean;
  writeMsr(index: number, low: number, high: number): boolean;
  /** Task priority 0-255; CR8 is its upper half. */
  tpr: number;
}

/** FXSAVE and FXRSTOR on the vCPU's registers. */
export interface FxImages {
  fxsave(image: DataView, format: { readonly wide: boolean; readonly code64: boolean }): void;
  /** 0, or 1 + vector of the fault that the image causes. */
  fxrstor(image: DataView, format: { readonly wide: boolean; readonly code64: boolean }): number;
}

/** Guest memory by guest physical address. */
export interface PhysicalMemory {
  contains(gpa: number, length: number): boolean;
  write(gpa: number, bytes: Uint8Array): void;
}

export interface SystemCpu {
  readonly state: CpuState;
  readonly id: number;
  readonly apic: ApicRegisters;
  readonly fpu: FxImages;
  readonly memory: PhysicalMemory;
  readonly clock: Clock;
  /** Frequency of the time stamp counter in kHz. */
  readonly tscKhz: number;
  /** What CPUID says. */
  readonly cpuid: readonly CpuidEntry[];
  /** The time stamp counter, now or at a time of the clock. */
  readTsc(now?: number): bigint;
  writeTsc(value: bigint): void;
  /** IA32_TSC_DEADLINE; 0 is disarmed. */
  tscDeadline: bigint;
  /** 64 random bits. */
  random(): bigint;
  portRead(port: number, size: 1 | 2 | 4): number;
  portWrite(port: number, size: 1 | 2 | 4, value: number): void;
}
