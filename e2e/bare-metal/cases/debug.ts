import assert from 'node:assert/strict';
import { ORIGIN } from '../prelude.ts';
import type { BareMetalCase } from './case.ts';

const ORIGIN_64 = BigInt(ORIGIN);

export const debugCases: readonly BareMetalCase[] = [
  {
    name: 'single step stops after each instruction',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'nop\n movl $5, %ecx\n nop\n exit 4' });
      await guest.vcpu.setGuestDebug({ singleStep: true, breakpoints: [] });
      const stops: bigint[] = [];
      for (let i = 0; i < 3; i++) {
        assert.deepEqual((await guest.run()).exit, { reason: 'debug' });
        stops.push((await guest.vcpu.getRegisters()).rip - ORIGIN_64);
      }
      assert.deepEqual(stops, [1n, 6n, 7n]);
      assert.equal((await guest.vcpu.getRegisters()).rcx, 5n);
      await guest.vcpu.setGuestDebug(undefined);
      assert.equal((await guest.finish()).code, 4);
    },
  },
  {
    name: 'a hardware breakpoint stops before its instruction, each time',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movl $2, %ecx
          1: nop
          decl %ecx
          jnz 1b
          exit 4`,
      });
      await guest.vcpu.setGuestDebug({ singleStep: false, breakpoints: [ORIGIN_64 + 0x100n, ORIGIN_64 + 6n] });
      for (const left of [2n, 1n]) {
        assert.deepEqual((await guest.run()).exit, { reason: 'debug' });
        const { rip, rcx } = await guest.vcpu.getRegisters();
        assert.deepEqual([rip - ORIGIN_64, rcx], [6n, left]);
        // Step off the breakpoint, as a debugger does.
        await guest.vcpu.setGuestDebug({ singleStep: true, breakpoints: [] });
        assert.deepEqual((await guest.run()).exit, { reason: 'debug' });
        await guest.vcpu.setGuestDebug({ singleStep: false, breakpoints: [ORIGIN_64 + 6n] });
      }
      assert.equal((await guest.finish()).code, 4);
    },
  },
  {
    name: 'a hardware breakpoint on the first instruction stops before anything is executed',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'incl 0x6000\n exit 4' });
      await guest.vcpu.setGuestDebug({ singleStep: false, breakpoints: [ORIGIN_64] });
      assert.deepEqual((await guest.run()).exit, { reason: 'debug' });
      assert.equal((await guest.vcpu.getRegisters()).rip, ORIGIN_64);
      assert.equal(guest.vm.memory.getU32(0x6000), 0);
      await guest.vcpu.setGuestDebug(undefined);
      assert.equal((await guest.finish()).code, 4);
    },
  },
  {
    name: 'more than four hardware breakpoints are refused',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n exit 0' });
      const breakpoints = [1n, 2n, 3n, 4n, 5n];
      await assert.rejects(guest.vcpu.setGuestDebug({ singleStep: false, breakpoints }), RangeError);
    },
  },
];
