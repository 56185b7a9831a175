/** The paravirtual clock of KVM: two MSRs that name guest memory which tells the time in terms of the TSC. */
import { CPU } from '../state.ts';
import type { SystemCpu } from './system-cpu.ts';

export const MSR_KVM_WALL_CLOCK = 0x4b56_4d00;
export const MSR_KVM_SYSTEM_TIME = 0x4b56_4d01;

const ENABLED = 1n;
const SYSTEM_TIME_SIZE = 32;
const WALL_CLOCK_SIZE = 12;
/** Flag: the clocks of all vCPUs agree. */
const TSC_STABLE = 1;
/** Flag: the VM did not run for a while; the guest clears it. */
const GUEST_STOPPED = 2;
const NANOSECONDS = 1_000_000_000;

/** Nanoseconds = (ticks << shift) * multiplier >> 32, with a negative shift to the right. */
export interface TscScale {
  readonly multiplier: number;
  readonly shift: number;
}

/** The scale for a TSC of `khz`, with all 32 bits of the multiplier used. */
export function tscScale(khz: number): TscScale {
  let shift = 0;
  let multiplier = (1_000_000 / khz) * 2 ** 32;
  while (multiplier >= 2 ** 32) {
    multiplier /= 2;
    shift++;
  }
  while (multiplier < 2 ** 31) {
    multiplier *= 2;
    shift--;
  }
  return { multiplier: Math.floor(multiplier), shift };
}

/** Writes the wall-clock time at which the VM's clock was 0 to where the guest wants it; false for #GP. */
export function writeWallClockMsr(cpu: SystemCpu, value: bigint): boolean {
  const gpa = Number(value);
  if (!cpu.memory.contains(gpa, WALL_CLOCK_SIZE)) return false;
  cpu.state.setU64(CPU.kvmWallClock, value);
  const start = Math.max(0, cpu.clock.wallTime() - cpu.clock.now() / 1e6);
  const view = new DataView(new ArrayBuffer(WALL_CLOCK_SIZE));
  view.setUint32(0, 2, true);
  view.setUint32(4, Math.floor(start / 1000), true);
  view.setUint32(8, Math.floor((start % 1000) * 1e6) % NANOSECONDS, true);
  cpu.memory.write(gpa, new Uint8Array(view.buffer));
  return true;
}

/** Bit 0 switches the vCPU's clock on at the address in the others; false for #GP. */
export function writeSystemTimeMsr(cpu: SystemCpu, value: bigint): boolean {
  if ((value & ENABLED) !== 0n && !cpu.memory.contains(Number(value & ~ENABLED), SYSTEM_TIME_SIZE)) return false;
  cpu.state.setU64(CPU.kvmSystemTime, value);
  updateSystemTime(cpu);
  return true;
}

/** Rewrites the vCPU's clock, if it has one: after the TSC has been set or the VM was stopped for a while. */
export function updateSystemTime(cpu: SystemCpu, flags = TSC_STABLE): void {
  const msr = cpu.state.u64(CPU.kvmSystemTime);
  const gpa = Number(msr & ~ENABLED);
  if ((msr & ENABLED) === 0n || !cpu.memory.contains(gpa, SYSTEM_TIME_SIZE)) return;
  const scale = tscScale(cpu.tscKhz);
  const view = new DataView(new ArrayBuffer(SYSTEM_TIME_SIZE));
  // Only this vCPU reads it, and not while we write: the version need not be odd in between, only new.
  const now = cpu.clock.now();
  view.setUint32(0, (Math.floor(now / 64) % 0x8000_0000) * 2, true);
  // Of the same moment: the clocks of all vCPUs agree only if each of them is exact.
  view.setBigUint64(8, cpu.readTsc(now), true);
  view.setBigUint64(16, BigInt(now), true);
  view.setUint32(24, scale.multiplier, true);
  view.setInt8(28, scale.shift);
  view.setUint8(29, flags);
  cpu.memory.write(gpa, new Uint8Array(view.buffer));
}

/** Tells the guest, if it uses the clock, that its watchdogs should forgive a gap. */
export function notePause(cpu: SystemCpu): void {
  updateSystemTime(cpu, TSC_STABLE | GUEST_STOPPED);
}
