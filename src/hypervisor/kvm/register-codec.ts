/** Between the register sets of our interface and the structs of KVM. */
import type { DescriptorTable, FpuState, Registers, Segment, SystemRegisters } from '../hypervisor.ts';
import { StructView } from './struct-layout.ts';
import { kvm_dtable, type kvm_fpu, kvm_regs, kvm_segment, type kvm_sregs } from './structs.ts';

type FieldsOf<L extends { fields: Record<string, unknown> }> = Extract<keyof L['fields'], string>;
export type RegsView = StructView<FieldsOf<typeof kvm_regs>>;
export type SregsView = StructView<FieldsOf<typeof kvm_sregs>>;
export type FpuView = StructView<FieldsOf<typeof kvm_fpu>>;

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
const FXSAVE_ST = 32;
const FXSAVE_XMM = 160;

/** FXSAVE64 layout: Intel SDM vol. 1, table 10-2. MXCSR_MASK stays 0, which stands for the default mask. */
export function decodeFpu(view: FpuView): FpuState {
  const fxsave = new Uint8Array(FXSAVE_SIZE);
  const out = new DataView(fxsave.buffer);
  out.setUint16(0, view.get('fcw'), true);
  out.setUint16(2, view.get('fsw'), true);
  out.setUint8(4, view.get('ftwx'));
  out.setUint16(6, view.get('last_opcode'), true);
  out.setBigUint64(8, view.getBig('last_ip'), true);
  out.setBigUint64(16, view.getBig('last_dp'), true);
  out.setUint32(24, view.get('mxcsr'), true);
  fxsave.set(view.raw('fpr'), FXSAVE_ST);
  fxsave.set(view.raw('xmm'), FXSAVE_XMM);
  return { fxsave };
}

export function encodeFpu(view: FpuView, { fxsave }: FpuState): void {
  if (fxsave.length !== FXSAVE_SIZE) throw new RangeError(`an FXSAVE image has 512 bytes, not ${fxsave.length}`);
  const from = new DataView(fxsave.buffer, fxsave.byteOffset, FXSAVE_SIZE);
  view.clear();
  view.set('fcw', from.getUint16(0, true));
  view.set('fsw', from.getUint16(2, true));
  view.set('ftwx', from.getUint8(4));
  view.set('last_opcode', from.getUint16(6, true));
  view.setBig('last_ip', from.getBigUint64(8, true));
  view.setBig('last_dp', from.getBigUint64(16, true));
  view.set('mxcsr', from.getUint32(24, true));
  view.raw('fpr').set(fxsave.subarray(FXSAVE_ST, FXSAVE_ST + 128));
  view.raw('xmm').set(fxsave.subarray(FXSAVE_XMM, FXSAVE_XMM + 256));
}
