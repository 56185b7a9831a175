import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MpState, VcpuEvents } from '../hypervisor.ts';
import { decodeEvents, decodeMpState, encodeEvents, encodeGuestDebug, encodeMpState } from './event-codec.ts';
import { StructView } from './struct-layout.ts';
import { kvm_guest_debug, kvm_vcpu_events } from './structs.ts';

const NONE: VcpuEvents = {
  exception: { injected: false, vector: 0, hasErrorCode: false, errorCode: 0 },
  interrupt: { injected: false, vector: 0, soft: false, shadow: 0 },
  nmi: { injected: false, pending: false, masked: false },
  sipiVector: 0,
};

test('events survive encoding', () => {
  const view = new StructView(kvm_vcpu_events, new Uint8Array(kvm_vcpu_events.size));
  const events: VcpuEvents = {
    exception: { injected: true, vector: 14, hasErrorCode: true, errorCode: 0xffff_fff7 },
    interrupt: { injected: true, vector: 0x41, soft: true, shadow: 2 },
    nmi: { injected: true, pending: true, masked: true },
    sipiVector: 9,
  };
  encodeEvents(view, events);
  assert.deepEqual(decodeEvents(view), events);
  assert.equal(view.get('flags'), 7);
  encodeEvents(view, NONE);
  assert.deepEqual(decodeEvents(view), NONE);
  assert.equal(view.get('flags'), 5, 'a SIPI vector of 0 is none');
});

test('run states survive encoding; an unknown one is refused', () => {
  const states: MpState[] = ['runnable', 'uninitialized', 'halted', 'init-received', 'sipi-received'];
  for (const state of states) assert.equal(decodeMpState(encodeMpState(state)), state);
  assert.throws(() => decodeMpState(9), RangeError);
});

test('breakpoints enable their bit of DR7', () => {
  const view = new StructView(kvm_guest_debug, new Uint8Array(kvm_guest_debug.size));
  encodeGuestDebug(view, { singleStep: true, breakpoints: [0x1000n, 0xffff_ffff_8000_0000n, 3n, 4n] });
  assert.equal(view.get('control'), 0x2_0003);
  assert.equal(view.getBig('arch.debugreg[7]'), 0x4aan);
  assert.equal(view.getBig('arch.debugreg[1]'), 0xffff_ffff_8000_0000n);
  encodeGuestDebug(view, undefined);
  assert.ok(view.bytes.every((byte) => byte === 0));
});
