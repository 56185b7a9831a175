/** Segment and gate descriptors and the tables that hold them (Intel SDM vol. 3, 3.4.5, 3.5 and 5.8.3). */
import { ATTR, LDTR, VECTOR } from '../architecture.ts';
import { CPU } from '../state.ts';
import type { CpuState } from './cpu-state.ts';

/** Types of system descriptors. */
export const SYSTEM_TYPE = {
  tss16: 1,
  ldt: 2,
  busyTss16: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss: 9,
  busyTss: 11,
  callGate: 12,
  interruptGate: 14,
  trapGate: 15,
} as const;

export interface Descriptor {
  readonly selector: number;
  /** Linear address of the descriptor. */
  readonly address: bigint;
  readonly raw: bigint;
  readonly base: bigint;
  /** In bytes. */
  readonly limit: number;
  /** As CpuState.segmentAttributes. */
  readonly attributes: number;
}

export function isNull(selector: number): boolean {
  return (selector & 0xfffc) === 0;
}

export function isCode(attributes: number): boolean {
  return (attributes & 0x18) === 0x18;
}

export function isConforming(attributes: number): boolean {
  return (attributes & 0x1c) === 0x1c;
}

export function isReadable(attributes: number): boolean {
  return (attributes & 0x18) === 0x10 || (attributes & 0x1a) === 0x1a;
}

export function isWritable(attributes: number): boolean {
  return (attributes & 0x1a) === 0x12;
}

export function isPresent(attributes: number): boolean {
  return (attributes & ATTR.present) !== 0;
}

export function dplOf(attributes: number): number {
  return (attributes >> 5) & 3;
}

/** The type of a system descriptor; -1 for code and data. */
export function systemType(attributes: number): number {
  return (attributes & ATTR.s) !== 0 ? -1 : attributes & ATTR.type;
}

export function isCanonical(address: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(48, address)) === BigInt.asUintN(64, address);
}

/** Reads the descriptor that a selector names; undefined if it lies beyond its table. */
export function findDescriptor(state: CpuState, selector: number): Descriptor | undefined {
  const address = tableEntry(state, selector, 8);
  return address === undefined ? undefined : parse(selector, address, readTable(state, address));
}

/** Like findDescriptor, but with a fault for a selector beyond its table. `ext` is bit 0 of the error code. */
export function readDescriptor(state: CpuState, selector: number, vector: number = VECTOR.gp, ext = 0): Descriptor {
  return findDescriptor(state, selector) ?? state.raise(vector, (selector & 0xfffc) | ext);
}

/** The upper 8 bytes of a system descriptor in long mode (SDM vol. 3, figure 7-4). */
export function readUpperHalf(state: CpuState, d: Descriptor): bigint {
  if (tableEntry(state, d.selector, 16) === undefined) state.raise(VECTOR.gp, d.selector & 0xfffc);
  const upper = readTable(state, d.address + 8n);
  if (((upper >> 40n) & 0x1fn) !== 0n) state.raise(VECTOR.gp, d.selector & 0xfffc);
  return upper;
}

/** Base of an LDT or TSS: 64 bits in long mode. */
export function systemBase(state: CpuState, d: Descriptor): bigint {
  if (!state.isLongMode) return d.base;
  const base = d.base | ((readUpperHalf(state, d) & 0xffff_ffffn) << 32n);
  if (!isCanonical(base)) state.raise(VECTOR.gp, d.selector & 0xfffc);
  return base;
}

/** Sets the accessed bit in the table. Returns the attributes with it. */
export function markAccessed(state: CpuState, d: Descriptor): number {
  if ((d.attributes & 1) === 0) writeAccessByte(state, d, (d.attributes & 0xff) | 1);
  return d.attributes | 1;
}

/** Overwrites the byte of type, privilege and presence in the table. */
export function writeAccessByte(state: CpuState, d: Descriptor, value: number): void {
  state.asSupervisor(() => state.write(d.address + 5n, 1, BigInt(value)));
}

function readTable(state: CpuState, address: bigint): bigint {
  return state.asSupervisor(() => state.read(address, 8));
}

/** Linear address of the entry of `size` bytes, if it is within its table. */
function tableEntry(state: CpuState, selector: number, size: number): bigint | undefined {
  const offset = selector & 0xfff8;
  let base = state.u64(CPU.gdtrBase);
  let limit = state.u32(CPU.gdtrLimit);
  if ((selector & 4) !== 0) {
    if (!isPresent(state.segmentAttributes(LDTR))) return undefined;
    base = state.segmentBase(LDTR);
    limit = state.segmentLimit(LDTR);
  }
  if (offset + size - 1 > limit) return undefined;
  const address = base + BigInt(offset);
  return state.isLongMode ? BigInt.asUintN(64, address) : address & 0xffff_ffffn;
}

function parse(selector: number, address: bigint, raw: bigint): Descriptor {
  const low = Number(raw & 0xffff_ffffn);
  const high = Number(raw >> 32n);
  const attributes = (high >>> 8) & 0xf0ff;
  const units = (low & 0xffff) | (high & 0xf_0000);
  const limit = (attributes & ATTR.g) !== 0 ? units * 4096 + 4095 : units;
  const base = ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0;
  return { selector, address, raw, base: BigInt(base), limit, attributes };
}
