/** Between the register sets of our interface and the structs of KVM. */
import type { DescriptorTable, FpuState, Registers, Segment, SystemRegisters } from '../hypervisor.ts';
import { StructView } from './struct-layout.ts';
import { kvm_dtable, kvm_regs, kvm_segment, type kvm_sregs, type kvm_xsave } from './structs.ts';

type FieldsOf<L extends { fields: Record<string, unknown> }> = Extract<keyof L['fields'], string>;
export type RegsView = StructView<FieldsOf<typeof kvm_regs>>;
export type SregsView = StructView<FieldsOf<typeof kvm_sregs>>;
export type XsaveView = StructView<FieldsOf<typeof kvm_xsave>>;

const REGISTERS = Object.keys(kvm_regs.fields) as (keyof Registers)[];
const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'] as const;
const SEGMENT_BITS = ['selector', 'limit', 'type', 'present', 'dpl', 'db', 's', 'l', 'g', 'avl', 'unusable'] as const;
const TABLES = ['gdt', 'idt'] as const;
const CONTROLS = ['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer'] as const;

export function decodeRegisters(view: RegsView): Registers {
  return Object.fromEntries(REGISTERS.map((name) => [name, view.getBig(name)])) as unknown as Registers;
}

export function encodeRegisters(view: RegsView, registers: Registers): void {
  for (const name of REGISTERS) view.setBig(name, registers[name]);
}

export function decodeSystemRegisters(view: SregsView): SystemRegisters {
  const segments = SEGMENTS.map((name) => [name, decodeSegment(view, name)]);
  const tables = TABLES.map((name) => [name, decodeTable(view, name)]);
  const controls = CONTROLS.map((name) => [name, view.getBig(name)]);
  return {
    ...Object.fromEntries([...segments, ...tables, ...controls]),
    apicBase: view.getBig('apic_base'),
  } as SystemRegisters;
}

/** An interrupt that is being delivered travels with the vCPU's events, not here. */
export function encodeSystemRegisters(view: SregsView, registers: SystemRegisters): void {
  view.clear();
  for (const name of SEGMENTS) encodeSegment(view, name, registers[name]);
  for (const name of TABLES) encodeTable(view, name, registers[name]);
  for (const name of CONTROLS) view.setBig(name, registers[name]);
  view.setBig('apic_base', registers.apicBase);
}

function decodeSegment(view: SregsView, name: (typeof SEGMENTS)[number]): Segment {
  const segment = new StructView(kvm_segment, view.raw(name));
  const bits = SEGMENT_BITS.map((field) => [field, segment.get(field)]);
  return { base: segment.getBig('base'), ...Object.fromEntries(bits) } as Segment;
}

function encodeSegment(view: SregsView, name: (typeof SEGMENTS)[number], value: Segment): void {
  const segment = new StructView(kvm_segment, view.raw(name));
  segment.setBig('base', value.base);
  for (const field of SEGMENT_BITS) segment.set(field, value[field]);
}

function decodeTable(view: SregsView, name: (typeof TABLES)[number]): DescriptorTable {
  const table = new StructView(kvm_dtable, view.raw(name));
  return { base: table.getBig('base'), limit: table.get('limit') };
}

function encodeTable(view: SregsView, name: (typeof TABLES)[number], value: DescriptorTable): void {
  const table = new StructView(kvm_dtable, view.raw(name));
  table.setBig('base', value.base);
  table.set('limit', value.limit);
}

const FXSAVE_SIZE = 512;
/** MXCSR_MASK belongs to the CPU, and what follows byte 464 to software. */
const MXCSR_MASK = 28;
const FXSAVE_ST = 32;
const FXSAVE_END = 464;
const XSTATE_X87_SSE = 3;

/** The FXSAVE image is the first part of the XSAVE area (Intel SDM vol. 1, 13.4.1). */
export function decodeFpu(view: XsaveView): FpuState {
  return { fxsave: view.raw('region').slice(0, FXSAVE_SIZE) };
}

/** Changes x87 and SSE in the vCPU's present XSAVE area; the upper halves of AVX and so on stay. */
export function encodeFpu(view: XsaveView, { fxsave }: FpuState): void {
  if (fxsave.length !== FXSAVE_SIZE) throw new RangeError(`an FXSAVE image has 512 bytes, not ${fxsave.length}`);
  const area = view.raw('region');
  area.set(fxsave.subarray(0, MXCSR_MASK));
  area.set(fxsave.subarray(FXSAVE_ST, FXSAVE_END), FXSAVE_ST);
  view.set('region[128]', view.get('region[128]') | XSTATE_X87_SSE);
}
