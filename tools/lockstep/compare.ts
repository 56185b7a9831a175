/** Which registers of our CPU and of QEMU's belong together, and what differs. */
import { ARITHMETIC_FLAGS, FLAG } from '../../src/hypervisor/soft/architecture.ts';
import { CPU, SEGMENT, SEGMENT_SIZE, SLOT } from '../../src/hypervisor/soft/state.ts';
import type { CpuState } from '../../src/hypervisor/soft/system/cpu-state.ts';
import type { Qemu } from './qemu.ts';
import { PACKET } from './qemu-layout.ts';

const segment = (n: number, field: number) => CPU.segments + n * SEGMENT_SIZE + field;

/** Offsets in our vCPU's block of the registers of 4, 8 or 16 bytes; RFLAGS is computed. */
const OURS: Readonly<Record<string, number>> = {
  rax: SLOT.rax,
  rbx: SLOT.rbx,
  rcx: SLOT.rcx,
  rdx: SLOT.rdx,
  rsi: SLOT.rsi,
  rdi: SLOT.rdi,
  rbp: SLOT.rbp,
  rsp: SLOT.rsp,
  ...Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`r${i + 8}`, 64 + 8 * i])),
  rip: CPU.rip,
  cs: segment(1, SEGMENT.selector),
  ss: segment(2, SEGMENT.selector),
  ds: segment(3, SEGMENT.selector),
  es: segment(0, SEGMENT.selector),
  fs: segment(4, SEGMENT.selector),
  gs: segment(5, SEGMENT.selector),
  fsBase: segment(4, SEGMENT.base),
  gsBase: segment(5, SEGMENT.base),
  kernelGsBase: CPU.kernelGsBase,
  cr0: CPU.cr0,
  cr2: CPU.cr2,
  cr3: CPU.cr3,
  cr4: CPU.cr4,
  efer: CPU.efer,
};
const VECTORS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`xmm${i}`, CPU.xmm + 16 * i])),
  mxcsr: CPU.mxcsr,
};
const LEGACY_UNSEEN = new Set(Array.from({ length: 8 }, (_, i) => `r${i + 8}`));
const COMPARED_FLAGS =
  ARITHMETIC_FLAGS | FLAG.if | FLAG.df | FLAG.iopl | FLAG.nt | FLAG.ac | FLAG.id | FLAG.vm | FLAG.tf;

export interface Difference {
  readonly name: string;
  readonly ours: bigint;
  readonly qemus: bigint;
}

interface Pair {
  readonly name: string;
  readonly ours: number;
  readonly theirs: number;
  readonly size: number;
}

export class Comparison {
  readonly #state: CpuState;
  readonly #qemu: Qemu;
  readonly #pairs: readonly Pair[];

  /** `vectors`: the SSE registers too. */
  constructor(state: CpuState, qemu: Qemu, vectors: boolean) {
    this.#state = state;
    this.#qemu = qemu;
    const offsets = Object.entries(vectors ? { ...OURS, ...VECTORS } : OURS);
    this.#pairs = offsets.map(([name, ours]) => {
      const { offset, size } = PACKET[name]!;
      return { name, ours: state.block + ours, theirs: offset, size };
    });
  }

  /** Whether all registers agree; `undefinedFlags` may differ. */
  agrees(undefinedFlags: number): boolean {
    const ours = this.#state.view;
    const theirs = this.#qemu.view;
    const flags = theirs.getUint32(PACKET['rflags']!.offset, true);
    if (((this.#state.rflags ^ flags) & COMPARED_FLAGS & ~undefinedFlags) !== 0) return false;
    for (const pair of this.#pairs) {
      for (let i = 0; i < pair.size; i += 4) {
        if (ours.getInt32(pair.ours + i, true) !== theirs.getInt32(pair.theirs + i, true)) {
          return this.differences(undefinedFlags).length === 0;
        }
      }
    }
    return true;
  }

  differences(undefinedFlags: number): Difference[] {
    const found: Difference[] = [];
    const add = (name: string, ours: bigint, qemus: bigint) => {
      if (ours !== qemus) found.push({ name, ours, qemus });
    };
    // Outside 64-bit mode QEMU shows the lower halves only.
    const wide = this.#state.is64BitCode;
    for (const { name, size } of this.#pairs) {
      if (!wide && LEGACY_UNSEEN.has(name)) continue;
      const mask = !wide && size === 8 ? 0xffff_ffffn : -1n;
      add(name, this.ours(name) & mask, this.#qemu.get(name) & mask);
    }
    const mask = BigInt(COMPARED_FLAGS & ~undefinedFlags);
    add('rflags', this.ours('rflags') & mask, this.#qemu.get('rflags') & mask);
    return found;
  }

  ours(name: string): bigint {
    if (name === 'rflags') return BigInt(this.#state.rflags);
    const pair = this.#pairs.find((each) => each.name === name)!;
    let value = 0n;
    for (let i = pair.size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#state.bytes[pair.ours + i]!);
    return value;
  }

  /** Gives QEMU our registers. */
  copyToQemu(): void {
    for (const { name } of this.differences(0)) this.#qemu.set(name, this.ours(name));
  }

  /** Gives us QEMU's value of a register; false if it is one that cannot be set alone. */
  copyFromQemu({ name, qemus }: Difference): boolean {
    const state = this.#state;
    if (name === 'rflags') state.rflags = Number(this.#qemu.get('rflags'));
    else if (/^(cs|ss|ds|es|fs|gs|cr[034]|efer)$/.test(name)) return false;
    else {
      const pair = this.#pairs.find((each) => each.name === name)!;
      for (let i = 0; i < pair.size; i++) state.bytes[pair.ours + i] = Number((qemus >> BigInt(8 * i)) & 0xffn);
    }
    return true;
  }
}
