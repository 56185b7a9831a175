/** The register sets of the hypervisor interface. */
import type { Lapic } from '../../irqchip/lapic.ts';
import { MSR_APIC_BASE } from '../../irqchip/lapic.ts';
import type { Registers, Segment, SystemRegisters } from '../hypervisor.ts';
import { ATTR, LDTR, TR } from './architecture.ts';
import { CPU } from './state.ts';
import type { CpuState } from './system/cpu-state.ts';

const GENERAL = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
const SEGMENTS = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldt: LDTR, tr: TR } as const;

export function getRegisters(state: CpuState): Registers {
  const general = Object.fromEntries(GENERAL.map((name, n) => [name, state.reg(n)])) as Omit<
    Registers,
    'rip' | 'rflags'
  >;
  return { ...general, rip: state.rip, rflags: BigInt(state.rflags) };
}

export function setRegisters(state: CpuState, values: Registers): void {
  GENERAL.forEach((name, n) => {
    state.setReg(n, values[name]);
  });
  state.rip = values.rip;
  state.rflags = Number(values.rflags & 0xffff_ffffn);
}

function getSegment(state: CpuState, n: number): Segment {
  const attributes = state.segmentAttributes(n);
  const bit = (mask: number) => ((attributes & mask) !== 0 ? 1 : 0);
  return {
    base: state.segmentBase(n),
    limit: state.segmentLimit(n),
    selector: state.selector(n),
    type: attributes & ATTR.type,
    present: bit(ATTR.present),
    dpl: (attributes & ATTR.dpl) >> 5,
    db: bit(ATTR.db),
    s: bit(ATTR.s),
    l: bit(ATTR.l),
    g: bit(ATTR.g),
    avl: bit(ATTR.avl),
    unusable: bit(ATTR.present) ^ 1,
  };
}

function setSegment(state: CpuState, n: number, s: Segment): void {
  const attributes =
    s.unusable !== 0
      ? 0
      : s.type |
        (s.s * ATTR.s) |
        (s.dpl << 5) |
        (s.present * ATTR.present) |
        (s.avl * ATTR.avl) |
        (s.l * ATTR.l) |
        (s.db * ATTR.db) |
        (s.g * ATTR.g);
  state.setSegment(n, s.selector, s.base, s.limit, attributes);
}

export function getSystemRegisters(state: CpuState, apic: Lapic): SystemRegisters {
  apic.readMsr(MSR_APIC_BASE);
  const segments = Object.fromEntries(
    Object.entries(SEGMENTS).map(([name, n]) => [name, getSegment(state, n)]),
  ) as Record<keyof typeof SEGMENTS, Segment>;
  return {
    ...segments,
    gdt: { base: state.u64(CPU.gdtrBase), limit: state.u32(CPU.gdtrLimit) },
    idt: { base: state.u64(CPU.idtrBase), limit: state.u32(CPU.idtrLimit) },
    cr0: state.u64(CPU.cr0),
    cr2: state.u64(CPU.cr2),
    cr3: state.u64(CPU.cr3),
    cr4: state.u64(CPU.cr4),
    cr8: BigInt(apic.tpr >> 4),
    efer: state.u64(CPU.efer),
    apicBase: (BigInt(apic.msrHigh) << 32n) | BigInt(apic.msrLow >>> 0),
  };
}

/** The caller flushes the TLB and updates the mode. The privilege is that of SS, as everywhere. */
export function setSystemRegisters(state: CpuState, apic: Lapic, values: SystemRegisters): void {
  for (const [name, n] of Object.entries(SEGMENTS)) setSegment(state, n, values[name as keyof typeof SEGMENTS]);
  state.setU64(CPU.gdtrBase, values.gdt.base);
  state.setU32(CPU.gdtrLimit, values.gdt.limit);
  state.setU64(CPU.idtrBase, values.idt.base);
  state.setU32(CPU.idtrLimit, values.idt.limit);
  state.setU64(CPU.cr0, values.cr0);
  state.setU64(CPU.cr2, values.cr2);
  state.setU64(CPU.cr3, values.cr3);
  state.setU64(CPU.cr4, values.cr4);
  state.setU64(CPU.efer, values.efer);
  apic.tpr = Number(values.cr8 & 15n) << 4;
  apic.writeMsr(MSR_APIC_BASE, Number(values.apicBase & 0xffff_ffffn), Number(values.apicBase >> 32n));
  state.setCpl(values.ss.dpl);
}
