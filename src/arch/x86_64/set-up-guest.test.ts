import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesSource } from '../../loader/kernel-source.ts';
import { buildBzImage, buildElf } from '../../loader/test-images.ts';
import { heapGuestMemory } from '../../memory/guest-memory.ts';
import { romRegion } from './bios.ts';
import { checksum } from './bytes.ts';
import { buildCommandLine, encodeCommandLine } from './cmdline.ts';
import { setUpLapicPins } from './lapic-setup.ts';
import { FOUR_GIB, ramLayout } from './memory-map.ts';
import { initialMsrs } from './msrs.ts';
import { type GuestConfig, setUpGuest } from './set-up-guest.ts';

const MIB = 1 << 20;
const ELF = { segments: [{ address: 16 * MIB, bytes: new Uint8Array(4096).fill(0x90) }], entry: 16 * MIB };
const COMMAND_LINE_TEXT = 'panic=-1 console=ttyS0';

function setUp(kernel: Uint8Array, changes: Partial<GuestConfig> = {}) {
  const ramSize = changes.ramSize ?? 64 * MIB;
  const memory = heapGuestMemory(ramLayout(ramSize));
  const state = setUpGuest(memory, {
    boot: {
      kind: 'kernel',
      kernel: bytesSource('vmlinux', kernel),
      initrd: bytesSource('initrd', new Uint8Array(5000).fill(3)),
    },
    commandLine: COMMAND_LINE_TEXT,
    ramSize,
    cpus: 2,
    addressBits: 40,
    variableMtrrs: 8,
    serialPorts: [1],
    rngSeed: new Uint8Array(32).fill(9),
    ...changes,
  });
  return { memory, state };
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

describe('a Linux guest', () => {
  const { memory, state } = setUp(buildElf(ELF));

  it('finds boot_params as boot.rst asks', () => {
    const zeroPage = Number(state.registers.rsi);
    assert.equal(memory.getU32(zeroPage + 0x202), 0x5372_6448);
    assert.equal(memory.getU8(zeroPage + 0x210), 0xff);
    const commandLine = memory.getU32(zeroPage + 0x228);
    assert.equal(text(memory.slice(commandLine, COMMAND_LINE_TEXT.length + 1)), `${COMMAND_LINE_TEXT}\0`);
    assert.equal(memory.getU32(zeroPage + 0x21c), 5000);
    assert.equal(memory.getU8(memory.getU32(zeroPage + 0x218) + 4999), 3);
    assert.equal(memory.getU64(zeroPage + 0x70), 0xe0000);
    assert.equal(memory.getU8(zeroPage + 0x1e8), 5);
    assert.equal(memory.getU64(zeroPage + 0x2d0 + 40), MIB);
    assert.equal(memory.getU64(zeroPage + 0x2d0 + 48), 63 * MIB);
    assert.equal(memory.getU32(zeroPage + 0x2d0 + 56), 1);
    const setupData = memory.getU64(zeroPage + 0x250);
    assert.deepEqual(
      [0, 8, 12, 16].map((o) => memory.getU32(setupData + o)),
      [0, 9, 32, 0x0909_0909],
    );
  });

  it('starts in long mode with the first 4 GiB mapped to themselves', () => {
    const { registers, systemRegisters: s } = state;
    assert.equal(registers.rip, BigInt(ELF.entry));
    assert.equal(registers.rflags, 2n);
    assert.equal(s.cr0 & 0x8000_0001n, 0x8000_0001n);
    assert.equal(s.cr4, 0x20n);
    assert.equal(s.efer, 0x500n);
    for (const address of [0, 0x12_3456, 0xfee0_0020, 0xffff_ffff]) {
      const pml4e = memory.getU64(Number(s.cr3));
      const pdpte = memory.getU64(pml4e - 3 + Math.floor(address / 2 ** 30) * 8);
      const pde = memory.getU64(pdpte - 3 + (Math.floor(address / 2 ** 21) % 512) * 8);
      assert.equal(pde, Math.floor(address / 2 ** 21) * 2 ** 21 + 0x83);
    }
  });

  it('has a GDT that agrees with the hidden parts of the segments', () => {
    const { gdt, cs, ds, tr } = state.systemRegisters;
    const at = (selector: number) => [
      memory.getU32(Number(gdt.base) + selector),
      memory.getU32(Number(gdt.base) + selector + 4),
    ];
    assert.equal(gdt.limit, 47);
    assert.deepEqual(at(cs.selector), [0x0000_ffff, 0x00af_9b00]);
    assert.deepEqual(at(ds.selector), [0x0000_ffff, 0x00cf_9300]);
    assert.deepEqual(at(tr.selector), [0x0000_0067, 0x0000_8b00]);
    assert.equal(cs.l, 1);
  });

  it('finds the MP table and SMBIOS', () => {
    const pointer = memory.slice(0x9fc00, 16);
    assert.equal(text(pointer.subarray(0, 4)), '_MP_');
    assert.equal(checksum(pointer), 0);
    const table = memory.getU32(0x9fc04);
    assert.equal(text(memory.slice(table, 4)), 'PCMP');
    assert.equal(checksum(memory.slice(table, memory.getU16(table + 4))), 0);
    assert.equal(text(memory.slice(0xf0000, 5)), '_SM3_');
    assert.equal(checksum(memory.slice(0xf0000, 24)), 0);
    const structures = memory.slice(memory.getU64(0xf0010), memory.getU32(0xf000c));
    assert.ok(text(structures).includes('ChromiumOS\0crosvm\0\0'));
    assert.ok(text(structures).endsWith('\x7f\x04\x02\0\0\0'));
    assert.equal(structures[1], 24 + 2);
  });

  it('gets the header of a bzImage', () => {
    const { memory: m, state: s } = setUp(buildBzImage(new Uint8Array(64)));
    assert.equal(m.getU32(Number(s.registers.rsi) + 0x260), 0x20_0000);
    assert.equal(m.getU8(Number(s.registers.rsi) + 0x210), 0xff);
    assert.equal(s.registers.rip, 0x20_0200n);
  });

  it('may have as many vCPUs as the tables can name', () => {
    const { memory: m } = setUp(buildElf(ELF), { cpus: 600 });
    const table = m.getU32(0x9fc04);
    assert.ok(table + m.getU16(table + 4) <= 0x9fc00);
  });
});

describe('a 32-bit Linux guest', () => {
  const { memory, state } = setUp(buildElf({ ...ELF, is64Bit: false }));

  it('starts in flat protected mode with boot_params', () => {
    const { registers, systemRegisters: s } = state;
    assert.deepEqual([registers.rip, registers.rflags], [BigInt(ELF.entry), 2n]);
    assert.deepEqual([registers.rbp, registers.rdi, registers.rbx], [0n, 0n, 0n]);
    assert.deepEqual([s.cr0, s.cr4, s.efer], [0x11n, 0n, 0n]);
    assert.deepEqual([s.cs.selector, s.cs.l, s.cs.db], [0x10, 0, 1]);
    for (const segment of [s.ds, s.es, s.ss]) assert.deepEqual([segment.selector, segment.limit], [0x18, 0xffff_ffff]);
    assert.equal(memory.getU32(Number(registers.rsi) + 0x202), 0x5372_6448);
    assert.equal(memory.getU32(Number(registers.rsi) + 0x21c), 5000);
  });
});

describe('a PVH guest', () => {
  const elf = buildElf({ ...ELF, entry: 2 ** 64 - 2 ** 31, pvhEntry: ELF.entry });
  const { memory, state } = setUp(elf);

  it('starts in 32-bit protected mode with hvm_start_info', () => {
    const { registers, systemRegisters: s } = state;
    assert.equal(registers.rip, BigInt(ELF.entry));
    assert.equal(s.cr0, 0x11n);
    assert.equal(s.efer, 0n);
    assert.deepEqual([s.cs.l, s.cs.db], [0, 1]);
    const info = Number(registers.rbx);
    assert.equal(memory.getU32(info), 0x336e_c578);
    assert.equal(memory.getU32(info + 12), 1);
    assert.equal(memory.getU64(memory.getU64(info + 16) + 8), 5000);
    assert.equal(text(memory.slice(memory.getU64(info + 24), 8)), 'panic=-1');
    assert.equal(memory.getU64(info + 32), 0xe0000);
    assert.equal(memory.getU32(info + 48), 5);
    assert.equal(memory.getU64(memory.getU64(info + 40) + 2 * 24), MIB);
  });
});

describe('a ROM', () => {
  const rom = Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff);
  const region = romRegion('rom', rom.length);
  const config = { commandLine: 'x', ramSize: 4 * MIB, cpus: 1, addressBits: 40, variableMtrrs: 8, serialPorts: [] };

  it('ends at 4 GiB and is seen below 1 MiB, and the reset vector is in it', () => {
    const memory = heapGuestMemory([...ramLayout(4 * MIB), region]);
    const state = setUpGuest(memory, { ...config, boot: { kind: 'bios', rom: bytesSource('rom', rom) } });
    assert.deepEqual(region, { gpa: FOUR_GIB - 8192, size: 8192 });
    assert.deepEqual(memory.slice(FOUR_GIB - 5000, 5000), rom);
    assert.deepEqual(memory.slice(MIB - 5000, 5000), rom);
    const { cs, cr0 } = state.systemRegisters;
    assert.equal(cs.base + state.registers.rip, BigInt(FOUR_GIB - 16));
    assert.equal(cr0 & 1n, 0n);
    assert.equal(state.kernel, undefined);
  });

  it('has a size that a ROM can have', () => {
    for (const size of [0, 15, 16 * MIB + 1]) assert.throws(() => romRegion('rom', size), { code: 'E_BIOS' });
    assert.equal(romRegion('rom', 16 * MIB).gpa, 0xff00_0000);
  });
});

describe('the command line', () => {
  it('has the defaults first, so that the user has the last word', () => {
    const options = {
      console: 'ttyS0',
      earlycon: 'uart8250,io,0x3f8',
      params: ['quiet  ', '', 'panic=5 root=/dev/vda'],
    };
    assert.equal(
      buildCommandLine(options),
      'panic=-1 console=ttyS0 earlycon=uart8250,io,0x3f8 quiet panic=5 root=/dev/vda',
    );
    assert.equal(buildCommandLine({}), 'panic=-1');
  });

  it('must be one line', () => {
    for (const bad of ['a\0b', 'a\nb']) assert.throws(() => buildCommandLine({ params: [bad] }), { code: 'E_CMDLINE' });
  });

  it('must not be longer than the kernel takes', () => {
    assert.equal(encodeCommandLine('x'.repeat(2047), 4096).length, 2048);
    const message = /has 2048 bytes, but at most 2047 fit/;
    assert.throws(() => encodeCommandLine('x'.repeat(2048), 4096), { code: 'E_CMDLINE', message });
    assert.throws(() => encodeCommandLine('é'.repeat(128), 255), { code: 'E_CMDLINE', message: /has 256 bytes/ });
  });
});

describe('other state of a vCPU', () => {
  it('has MTRRs that make the space of devices uncacheable', () => {
    const msrs = new Map(initialMsrs({ variableMtrrs: 8, addressBits: 40 }).map((m) => [m.index, m.value]));
    assert.equal(msrs.get(0x2ff), 0x806n);
    assert.deepEqual([msrs.get(0x200), msrs.get(0x201)], [0xd000_0000n, 0xff_f000_0800n]);
    assert.deepEqual([msrs.get(0x202), msrs.get(0x203)], [0xe000_0000n, 0xff_e000_0800n]);
    assert.equal(msrs.has(0x204), false);
    assert.ok(!initialMsrs({ variableMtrrs: 1, addressBits: 40 }).some((m) => m.index === 0x200));
  });

  it('has LINT0 for the 8259 and LINT1 for NMI', () => {
    const page = new Uint8Array(1024).fill(0xff);
    setUpLapicPins(page);
    assert.deepEqual([...page.subarray(0x350, 0x354)], [0, 7, 0, 0]);
    assert.deepEqual([...page.subarray(0x360, 0x364)], [0, 4, 0, 0]);
  });
});
