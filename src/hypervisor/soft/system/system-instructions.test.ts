import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4, FLAG } from '../architecture.ts';
import { CPU } from '../state.ts';
import { checkFpu } from './checks.ts';
import { findCpuid } from './cpuid.ts';
import { afterStep, codeBreakpoint } from './debug.ts';
import { tscScale } from './kvmclock.ts';
import { startUp } from './reset.ts';
import { TestMachine } from './test-machine.ts';

function longMachine(cpl = 0): TestMachine {
  const m = new TestMachine();
  m.enterLong(cpl);
  return m;
}

function wrmsr(m: TestMachine, index: number, value: bigint): string | undefined {
  m.state.setReg(1, BigInt(index));
  m.state.setReg(0, value & 0xffff_ffffn);
  m.state.setReg(2, value >> 32n);
  return m.fault('0f 30');
}

function rdmsr(m: TestMachine, index: number): bigint {
  m.state.setReg(1, BigInt(index));
  m.run('0f 32');
  return (m.state.reg(2) << 32n) | m.state.reg(0);
}

test('SYSCALL and SYSRET', () => {
  const m = longMachine(3);
  m.state.setU64(CPU.star, 0x0033_0028n << 32n);
  m.state.setU64(CPU.lstar, 0xffff_ffff_8100_0000n);
  m.state.setU64(CPU.sfmask, BigInt(FLAG.if | FLAG.tf));
  m.state.rflags = FLAG.if | FLAG.zf | 2;
  m.run('0f 05');
  assert.deepEqual([m.state.cpl, m.state.selector(1), m.state.selector(2)], [0, 0x28, 0x30]);
  assert.deepEqual([m.state.rip, m.state.reg(1)], [0xffff_ffff_8100_0000n, 0x5002n]);
  assert.equal(m.state.reg(11), BigInt(FLAG.if | FLAG.zf | 2));
  assert.equal(m.state.rflags, FLAG.zf | 2);
  assert.ok(m.state.is64BitCode);
  m.run('48 0f 07');
  assert.deepEqual([m.state.cpl, m.state.selector(1), m.state.selector(2)], [3, 0x43, 0x3b]);
  assert.deepEqual([m.state.rip, m.state.rflags], [0x5002n, FLAG.if | FLAG.zf | 2]);
  assert.equal(m.fault('48 0f 07'), '13:0');
  m.run('0f 05');
  m.state.setReg(1, 0x8000_0000_0000n);
  assert.equal(m.fault('48 0f 07'), '13:0', 'not canonical');
  m.run('0f 07');
  assert.deepEqual([m.state.is64BitCode, m.state.selector(1)], [false, 0x33]);
  m.state.setU64(CPU.efer, 0x500n);
  assert.equal(m.fault('0f 05'), '6:0');
});

test('SYSENTER and SYSEXIT', () => {
  const m = longMachine(3);
  assert.equal(m.fault('0f 34'), '13:0', 'no code segment');
  assert.equal(wrmsr(m, 0x174, 0x28n), '13:0', 'privilege');
  m.state.setU64(CPU.sysenterCs, 0x28n);
  m.state.setU64(CPU.sysenterEsp, 0x7000n);
  m.state.setU64(CPU.sysenterEip, 0x9000n);
  m.run('0f 34');
  assert.deepEqual([m.state.cpl, m.state.rip, m.state.reg(4), m.state.selector(2)], [0, 0x9000n, 0x7000n, 0x30]);
  m.state.setReg(2, 0x5000n);
  m.state.setReg(1, 0x6000n);
  m.run('48 0f 35');
  assert.deepEqual([m.state.cpl, m.state.rip, m.state.reg(4), m.state.selector(1)], [3, 0x5000n, 0x6000n, 0x4b]);
});

test('SWAPGS and the bases of FS and GS', () => {
  const m = longMachine();
  assert.equal(wrmsr(m, 0xc000_0101, 0xffff_8880_0000_0000n), undefined);
  assert.equal(wrmsr(m, 0xc000_0102, 0x1234n), undefined);
  m.run('0f 01 f8');
  assert.deepEqual([rdmsr(m, 0xc000_0101), rdmsr(m, 0xc000_0102)], [0x1234n, 0xffff_8880_0000_0000n]);
  assert.equal(wrmsr(m, 0xc000_0100, 0x8000_0000_0000n), '13:0');
  m.enterLong(3);
  assert.equal(m.fault('0f 01 f8'), '13:0');
});

test('MSRs: unknown ones, reserved bits, memory types', () => {
  const m = longMachine();
  assert.equal(wrmsr(m, 0x1234, 0n), '13:0');
  assert.equal(wrmsr(m, 0x277, 0x0706_0504_0302_0100n), '13:0');
  assert.equal(wrmsr(m, 0x277, 0x0007_0106_0007_0106n), undefined);
  assert.equal(rdmsr(m, 0x277), 0x0007_0106_0007_0106n);
  assert.equal(wrmsr(m, 0x200, 0x8000_0006n), undefined);
  assert.equal(wrmsr(m, 0x201, 1n << 47n), '13:0');
  assert.equal(wrmsr(m, 0x26f, 0x0606_0606_0606_0606n), undefined);
  assert.equal(rdmsr(m, 0x26f), 0x0606_0606_0606_0606n);
  assert.equal(wrmsr(m, 0x2ff, 0xc02n), '13:0');
  assert.equal(wrmsr(m, 0xc000_0080, 0n), '13:0', 'LME while paging is on');
  assert.equal(wrmsr(m, 0xc000_0080, 0x901n | (1n << 13n)), '13:0');
  assert.equal(wrmsr(m, 0xc000_0080, 0x101n), undefined);
  assert.equal(m.state.efer, 0x501, 'LMA stays');
  assert.equal(rdmsr(m, 0x10), m.tsc);
  assert.equal(wrmsr(m, 0x6e0, 77n), undefined);
  assert.equal(m.tscDeadline, 77n);
});

test('control registers refuse what the architecture reserves', () => {
  const m = longMachine();
  const set = (register: number, value: bigint) => {
    m.state.setReg(0, value);
    return m.fault(`${register === 8 ? '44 ' : ''}0f 22 ${(0xc0 | ((register & 7) << 3)).toString(16)}`);
  };
  assert.equal(set(0, 0x1_8001_0011n), '13:0');
  assert.equal(set(0, 0x8000_0010n), '13:0', 'PG without PE');
  assert.equal(set(0, 0xa001_0011n), '13:0', 'NW without CD');
  assert.equal(set(3, 1n << 46n), '13:0');
  assert.equal(set(4, 0n), '13:0', 'PAE in long mode');
  assert.equal(set(4, 0x6a0n | (1n << 17n)), '13:0', 'PCIDE');
  assert.equal(set(4, 0x6a0n), undefined);
  assert.equal(set(8, 16n), '13:0');
  assert.equal(set(8, 9n), undefined);
  assert.equal(m.apic.tpr, 0x90);
  m.run('44 0f 20 c3');
  assert.equal(m.state.reg(3), 9n);
  m.enterLong(3);
  assert.equal(m.fault('0f 20 c0'), '13:0');
  m.run('0f 01 e0');
  assert.equal(m.state.reg(0), 0x8001_0011n, 'SMSW is open to programs');
});

test('LMSW sets PE but does not clear it; CLTS', () => {
  const m = new TestMachine();
  m.enterProtected();
  m.state.setReg(0, 0xen);
  m.run('0f 01 f0');
  assert.equal(m.state.cr0, 0x1f);
  m.run('0f 06');
  assert.equal(m.state.cr0, 0x17);
});

test('a load of CR3 and INVLPG make new translations visible', () => {
  const m = longMachine();
  m.view.setUint32(0x12000, 0x13007, true);
  for (let n = 0; n < 512; n++) m.view.setUint32(0x13000 + n * 8, n * 0x1000 + 7, true);
  m.run('0f 20 d8');
  m.run('0f 22 d8');
  m.ram[0x20000] = 1;
  m.ram[0x21000] = 2;
  assert.equal(m.state.read(0x20000n, 1), 1n);
  m.view.setUint32(0x13000 + 0x20 * 8, 0x21007, true);
  assert.equal(m.state.read(0x20000n, 1), 1n, 'from the TLB');
  m.state.setReg(0, 0x20000n);
  m.run('0f 01 38');
  assert.equal(m.state.read(0x20000n, 1), 2n);
});

test('checkFpu', () => {
  const m = longMachine();
  const check = (kind: 'x87' | 'mmx' | 'sse' | 'wait', cr0: bigint) => {
    m.state.setU64(CPU.cr0, 0x8001_0011n | cr0);
    try {
      checkFpu(m.state, kind);
      return 0;
    } catch (error) {
      return (error as { vector: number }).vector;
    }
  };
  assert.deepEqual([check('x87', 0n), check('x87', 4n), check('x87', 8n)], [0, 7, 7]);
  assert.deepEqual([check('mmx', 4n), check('mmx', 8n)], [6, 7]);
  assert.deepEqual([check('wait', 8n), check('wait', 10n)], [0, 7]);
  assert.deepEqual([check('sse', 0n), check('sse', 12n)], [0, 6]);
  m.state.setU64(CPU.cr4, BigInt(CR4.pae));
  assert.equal(check('sse', 0n), 6);
});

test('FXSAVE, LDMXCSR and their faults', () => {
  const m = longMachine();
  m.state.setReg(0, 0x4008n);
  assert.equal(m.fault('0f ae 00'), '13:0');
  m.state.setReg(0, 0x4010n);
  m.run('0f ae 00');
  assert.equal(m.view.getUint32(0x4010 + 24, true), 0x1f80);
  m.view.setUint32(0x4010, 0x1_0000, true);
  assert.equal(m.fault('0f ae 10'), '13:0');
  m.view.setUint32(0x4010, 0x9fc0, true);
  m.run('0f ae 10');
  assert.equal(m.state.u32(CPU.mxcsr), 0x9fc0);
});

test('CMPXCHG16B', () => {
  const m = longMachine();
  m.state.setReg(6, 0x4000n);
  m.view.setBigUint64(0x4000, 2n, true);
  m.view.setBigUint64(0x4008, 1n, true);
  m.run('48 0f c7 0e');
  assert.deepEqual([m.state.reg(0), m.state.reg(2), m.state.rflags & FLAG.zf], [2n, 1n, 0]);
  m.state.setReg(3, 7n);
  m.run('48 0f c7 0e');
  assert.deepEqual([m.view.getBigUint64(0x4000, true), m.view.getBigUint64(0x4008, true)], [7n, 0n]);
  assert.ok((m.state.rflags & FLAG.zf) !== 0);
  m.state.setReg(6, 0x4008n);
  assert.equal(m.fault('48 0f c7 0e'), '13:0');
});

test('CPUID leaves, and zeros beyond them', () => {
  const m = longMachine(3);
  m.state.setReg(0, 0n);
  m.run('0f a2');
  assert.deepEqual(
    [m.state.reg(0), m.state.reg(3), m.state.reg(2), m.state.reg(1)],
    [0x16n, 0x6874_7541n, 0x6974_6e65n, 0x444d_4163n],
  );
  m.state.setReg(0, 0x1_0000_0099n);
  m.run('0f a2');
  assert.equal(m.state.reg(0), 0n);
  assert.equal(findCpuid(m.cpuid, 0xb, 1)?.ebx, 1);
  assert.equal(findCpuid(m.cpuid, 0xb, 3), undefined);
});

test('kvmclock tells time in terms of the TSC', () => {
  const m = longMachine();
  assert.equal(wrmsr(m, 0x4b56_4d01, 0x4001n), undefined);
  assert.equal(m.view.getBigUint64(0x4008, true), m.tsc);
  assert.equal(m.view.getBigUint64(0x4010, true), 5_000_000_000n);
  const { multiplier, shift } = tscScale(2_000_000);
  assert.deepEqual([m.view.getUint32(0x4018, true), m.view.getInt8(0x401c)], [multiplier, shift]);
  assert.equal(multiplier * 2 ** (shift - 32), 0.5);
  assert.equal(tscScale(500_000).multiplier * 2 ** (tscScale(500_000).shift - 32), 2);
  assert.equal(wrmsr(m, 0x4b56_4d00, 0x5000n), undefined);
  assert.equal(m.view.getUint32(0x5004, true), 1_699_999_995);
  assert.equal(wrmsr(m, 0x4b56_4d01, 0x4000_0001n), '13:0', 'not RAM');
});

test('debug registers and single steps', () => {
  const m = longMachine();
  m.state.setReg(0, 0x1_0000_0000n);
  assert.equal(m.fault('0f 23 f8'), '13:0');
  m.state.setReg(0, 0x5000n);
  m.run('0f 23 c0');
  m.state.setReg(0, 1n);
  m.run('0f 23 f8');
  m.state.rip = 0x5000n;
  assert.ok(codeBreakpoint(m));
  assert.equal(m.state.u64(CPU.dr6) & 15n, 1n);
  m.state.rflags = FLAG.rf | 2;
  assert.ok(!codeBreakpoint(m));
  m.putGate(0x2010, 0x28, 0x9000n, 0x8e, 0, true);
  m.run('0f a2');
  assert.equal(afterStep(m, m.insn, FLAG.rf | 2), undefined);
  assert.equal(m.state.rflags, 2, 'RF ends with the instruction');
  assert.equal(afterStep(m, m.insn, FLAG.tf | 2), 'jump');
  assert.deepEqual([m.state.rip, m.state.u64(CPU.dr6) & 0x4000n], [0x9000n, 0x4000n]);
  m.state.setU64(CPU.dr7, 0x2400n);
  assert.equal(m.fault('0f 21 c0'), '1:0', 'DR7.GD');
});

test('SIPI starts in real mode at its page', () => {
  const m = new TestMachine();
  startUp(m, 0x9a);
  assert.deepEqual([m.state.segmentBase(1), m.state.selector(1), m.state.rip], [0x9a000n, 0x9a00, 0n]);
});

test('privileged instructions at privilege 3, undefined ones, RDRAND', () => {
  const m = longMachine(3);
  for (const hex of ['f4', '0f 08', '0f 09', '0f 06', '0f 32', '0f 01 38', '0f 33'])
    assert.equal(m.fault(hex), '13:0', hex);
  assert.equal(m.fault('0f 0b'), '6:0');
  m.run('66 0f c7 f0');
  assert.equal(m.state.reg(0), 0xcdefn);
  m.enterLong(0);
  assert.equal(m.run('f4'), 'halt');
});

test('SSE instructions that read memory only are undefined without CR4.OSFXSR too', () => {
  const m = longMachine();
  m.state.setU64(CPU.cr4, BigInt(m.state.cr4 & ~CR4.osfxsr));
  for (const hex of ['f3 0f 2c 07', 'f2 0f 2d 07', '0f 2d 07', '66 0f 2c 07']) assert.equal(m.fault(hex), '6:0', hex);
});

test('a long repetition of port accesses counts its elements, so that timers get their turn', () => {
  const m = longMachine();
  m.state.setReg(1, 100_000n);
  m.state.setReg(6, 0x6000n);
  m.state.setU32(CPU.budget, 10_000);
  assert.equal(m.run('f3 6e'), 'jump'); // rep outsb
  const done = 100_000 - Number(m.state.reg(1));
  assert.equal(m.state.u32(CPU.budget), 10_000 - (done - 1));
});

test('RDTSCP, and CR4.TSD', () => {
  const m = longMachine();
  assert.equal(wrmsr(m, 0xc000_0103, 0x2003n), undefined);
  m.run('0f 01 f9');
  assert.deepEqual([m.state.reg(0), m.state.reg(2), m.state.reg(1)], [0x2345_6789n, 1n, 0x2003n]);
  m.enterLong(3);
  m.state.setU64(CPU.cr4, BigInt(m.state.cr4 | CR4.tsd));
  assert.equal(m.fault('0f 01 f9'), '13:0');
});

test('a waiting interrupt is looked at when SYSRET or IRET sets IF', () => {
  const m = longMachine();
  m.state.setU32(CPU.interruptWaits, 1);
  m.state.setU64(CPU.star, 0x0033_0028n << 32n);
  m.state.setReg(1, 0x6000n);
  m.state.setReg(11, 2n);
  m.run('48 0f 07');
  assert.equal(m.state.u32(CPU.attention), 0);
  m.enterLong(0);
  m.state.setReg(11, BigInt(FLAG.if));
  m.run('48 0f 07');
  assert.equal(m.state.u32(CPU.attention), 0x8000_0000);
});
