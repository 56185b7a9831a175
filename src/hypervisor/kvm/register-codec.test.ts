import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Registers, Segment, SystemRegisters } from '../hypervisor.ts';
import * as codec from './register-codec.ts';
import { StructView } from './struct-layout.ts';
import { kvm_regs, kvm_sregs, kvm_xsave } from './structs.ts';

const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'] as const;

/** A segment in which every field differs from its neighbours and from other segments. */
function segment(n: number): Segment {
  const bits = { type: n, present: 1, dpl: n & 3, db: 1, s: 0, l: 1, g: 0, avl: 1, unusable: 0 };
  return { base: 0xffff_8000_0000_0000n + BigInt(n), limit: 0xffff_fff0 + n, selector: 8 * n, ...bits };
}

test('general registers survive encoding, each in its own place', () => {
  const view = new StructView(kvm_regs, new Uint8Array(kvm_regs.size));
  const names = Object.keys(kvm_regs.fields);
  const registers = Object.fromEntries(names.map((name, i) => [name, 2n ** 63n + BigInt(i)])) as unknown as Registers;
  codec.encodeRegisters(view, registers);
  assert.deepEqual(codec.decodeRegisters(view), registers);
  assert.equal(view.getBig('rsi'), registers.rsi);
});

test('system registers survive encoding; an interrupt in delivery is not among them', () => {
  const view = new StructView(kvm_sregs, new Uint8Array(kvm_sregs.size).fill(0xff));
  const registers = {
    ...Object.fromEntries(SEGMENTS.map((name, i) => [name, segment(i + 1)])),
    gdt: { base: 0x1000n, limit: 0xffff },
    idt: { base: 0xffff_fe00_0000_0000n, limit: 0xfff },
    ...{ cr0: 0x8005_0033n, cr2: 2n ** 64n - 1n, cr3: 3n, cr4: 4n, cr8: 8n, efer: 0xd01n, apicBase: 0xfee0_0d00n },
  } as unknown as SystemRegisters;
  codec.encodeSystemRegisters(view, registers);
  assert.deepEqual(codec.decodeSystemRegisters(view), registers);
  assert.ok(view.raw('interrupt_bitmap').every((byte) => byte === 0));
});

test('FPU state changes x87 and SSE only', () => {
  const view = new StructView(kvm_xsave, new Uint8Array(kvm_xsave.size).fill(0xaa));
  view.set('region[128]', 4);
  codec.encodeFpu(view, { fxsave: new Uint8Array(512).fill(0x55) });
  const area = view.raw('region');
  assert.deepEqual(
    [area[0], area[27], area[28], area[31], area[32], area[463], area[464]],
    [0x55, 0x55, 0xaa, 0xaa, 0x55, 0x55, 0xaa],
  );
  assert.deepEqual([area[511], area[516], view.get('region[128]')], [0xaa, 0xaa, 7]);
  assert.equal(codec.decodeFpu(view).fxsave.length, 512);
  assert.throws(() => codec.encodeFpu(view, { fxsave: new Uint8Array(513) }), RangeError);
});
