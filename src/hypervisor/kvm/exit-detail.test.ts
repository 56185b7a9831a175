import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as c from './constants.ts';
import { describeFailure } from './exit-detail.ts';
import { StructView } from './struct-layout.ts';
import { kvm_run } from './structs.ts';

function exit(reason: number): StructView<keyof typeof kvm_run.fields> {
  const view = new StructView(kvm_run, new Uint8Array(kvm_run.size));
  view.set('exit_reason', reason);
  return view;
}

test('a refused entry gives the reason of the hardware', () => {
  const run = exit(c.KVM_EXIT_FAIL_ENTRY);
  run.setBig('fail_entry.hardware_entry_failure_reason', 0x8000_0021n);
  assert.match(describeFailure(run.bytes), /refuses to enter.* 0x80000021$/);
});

test('an instruction that cannot be emulated is shown', () => {
  const run = exit(c.KVM_EXIT_INTERNAL_ERROR);
  run.set('internal.suberror', c.KVM_INTERNAL_ERROR_EMULATION);
  run.set('internal.ndata', 3);
  run.setBig('emulation_failure.flags', 1n);
  run.set('emulation_failure.insn_size', 2);
  run.raw('emulation_failure.insn_bytes').set([0x0f, 0x0b, 0x90]);
  assert.match(describeFailure(run.bytes), /cannot emulate \(suberror 1\): 0f 0b$/);
});

test('counts beyond their fields are bounded', () => {
  const run = exit(c.KVM_EXIT_INTERNAL_ERROR);
  run.set('internal.suberror', 77);
  run.set('internal.ndata', 0xffff_ffff);
  assert.match(describeFailure(run.bytes), /an internal error \(suberror 77\), data( 0x0){6}$/);
  run.set('internal.suberror', c.KVM_INTERNAL_ERROR_EMULATION);
  run.setBig('emulation_failure.flags', 1n);
  run.set('emulation_failure.insn_size', 255);
  assert.match(describeFailure(run.bytes), /:( 00){15}$/);
});

test('without data there is only the sentence', () => {
  const run = exit(c.KVM_EXIT_INTERNAL_ERROR);
  run.set('internal.suberror', c.KVM_INTERNAL_ERROR_SIMUL_EX);
  assert.equal(describeFailure(run.bytes), 'KVM met two exceptions at once (suberror 2)');
});

test('an unknown exit is numbered', () => {
  assert.match(describeFailure(exit(99).bytes), /reason 99/);
  assert.match(describeFailure(exit(c.KVM_EXIT_UNKNOWN).bytes), /unknown reason 0x0/);
});
