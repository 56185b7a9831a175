/** What hostile programs do: each attack writes some code. */
import { decode } from '../../src/hypervisor/soft/decode/decode.ts';
import { type CodeSize, Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import { OPCODES } from '../../src/hypervisor/soft/decode/opcodes.ts';
import { encode, shapeOf } from '../differential/encode.ts';
import type { Random } from '../differential/random.ts';
import {
  ALIAS,
  ALIASED,
  CODE,
  CODE_SIZE,
  DATA,
  DATA_SIZE,
  GDT_SIZE,
  PAGE,
  pageTableEntry,
  pageTables,
  ROM,
} from './program.ts';
import { type Bytes, little, type Writer } from './writer.ts';

export type Attack = (writer: Writer, random: Random) => void;

const RCX = 1;
const RSI = 6;
const RDI = 7;
const ROLES = { pointers: [3, 5, 6, 7], small: [1, 2] };
const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x40, 0x48, 0x4f];
const LOCKED: readonly Bytes[] = [[0x01], [0x09], [0x0f, 0xc1], [0x0f, 0xb1], [0x87], [0x0f, 0xbb], [0x0f, 0xab]];
const STRINGS = [0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xa7, 0xae, 0xaf, 0x6c, 0x6e];
/** Instructions that lead elsewhere or change how memory is seen, with operands in registers. */
const SYSTEM: readonly Bytes[] = [
  ...[
    [0x0f, 0x22, 0xc0],
    [0x0f, 0x22, 0xe0],
    [0x0f, 0x22, 0xd8],
    [0x0f, 0x30],
    [0x0f, 0x32],
    [0x0f, 0x01, 0xf8],
  ],
  ...[
    [0x0f, 0x00, 0xd8],
    [0x0f, 0x00, 0xd0],
    [0x8e, 0xd8],
    [0x8e, 0xd0],
    [0x8e, 0xe0],
    [0x0f, 0x23, 0xf8],
  ],
  ...[[0x0f, 0x05], [0x0f, 0x07], [0x0f, 0x34], [0x0f, 0x35], [0xcf], [0x48, 0xcf], [0xcb], [0x9d], [0xfb], [0xfa]],
  ...[
    [0x0f, 0x01, 0x13],
    [0x0f, 0x01, 0x1b],
    [0x0f, 0xae, 0x0b],
    [0x0f, 0xae, 0x03],
    [0x9b, 0xdb, 0xe3],
    [0x0f, 0x06],
  ],
];
const MSRS = [0x1b, 0xc000_0080, 0xc000_0081, 0xc000_0082, 0xc000_0100, 0xc000_0101, 0x174, 0x175, 0x176, 0x277, 0x2ff];
const HEAVY_VALUES = [0, 1, 0xffff_ffff, 0x8000_0000, 0x8000_0001, 0x7fff_ffff, 0x6f0, 0xd01, 0x2000, 0x8001_0033];

function codeAddress(random: Random): number {
  return CODE + random.below(CODE_SIZE);
}

function randomBytes(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.below(256));
}

/** Any bytes at all. */
const noise: Attack = (writer, random) => writer.put(randomBytes(random, 1 + random.below(64)));

const insn = new Insn();

/** Valid instructions of the whole table, with any operands. */
const instructions: Attack = (writer, random) => {
  const size: CodeSize = writer.mode === 'long' ? 8 : writer.is16Bit ? 2 : 4;
  for (let left = 1 + random.below(12); left > 0; left--) {
    const row = random.pick(OPCODES);
    const { bytes } = encode(random, row, shapeOf(row), size === 8 ? 8 : 4, ROLES);
    const all = Uint8Array.from(bytes);
    const length = decode(all, 0, all.length, size, insn);
    if (length > 0) writer.put([...all.subarray(0, length)]);
  }
};

/** Up to 16 prefixes before an instruction, often where a page ends. */
const prefixes: Attack = (writer, random) => {
  if (random.chance(0.5)) writer.moveTo(CODE + PAGE * (1 + random.below(CODE_SIZE / PAGE)) - random.below(18));
  const chain = Array.from({ length: random.below(17) }, () => random.pick(PREFIXES));
  writer.put(random.chance(0.5) ? chain.fill(random.pick(PREFIXES)) : chain);
  writer.put(random.pick([[0x90], [0x01, 0xc0], [0x0f, 0x0b], [0xa4], [0x8b, 0x07], [0x0f], [0xff], [0xe8]]));
};

/** Constants that are instructions, and branches into them: forth and back. */
const middles: Attack = (writer, random) => {
  const start = writer.here;
  writer.setRegister(RCX, 1 + random.below(50));
  const head = writer.here;
  for (let left = 2 + random.below(8); left > 0; left--) {
    const inner = random.pick([
      [0xeb, 0xfe],
      [0x75, 0x01],
      [0xff, 0xc0],
      [0x90, 0x90],
      [0xe2, 0xfb],
      [0x74, 0xf9],
    ]);
    writer.setRegister(random.pick([0, 2, 3]), (inner[0]! | (inner[1]! << 8) | (random.u32() << 16)) >>> 0);
    if (random.chance(0.4)) writer.put([random.pick([0xeb, 0x74, 0x75, 0x72, 0xe3]), random.below(16) - 10]);
  }
  writer.countDown(RCX, random.chance(0.5) ? head : head + random.below(writer.here - start));
};

/** Stores to code: before, behind, into the store itself, and across the ends of pages; in a loop. */
const overwrites: Attack = (writer, random) => {
  if (random.chance(0.3)) writer.moveTo(CODE + PAGE * (1 + random.below(3)) - random.below(40));
  writer.setRegister(RCX, 1 + random.below(30));
  const head = writer.here;
  for (let left = 1 + random.below(5); left > 0; left--) {
    const near = writer.here + random.below(48) - 16;
    const target = random.chance(0.8) ? near : random.chance(0.5) ? codeAddress(random) : nearPageEnd(random);
    const harmless = random.pick([0x90, 0x40, 0xf8, 0xf9, 0xfc, 0x98]);
    if (random.chance(0.5)) writer.storeByte(target, random.chance(0.7) ? harmless : random.below(256));
    else writer.storeDword(target, random.chance(0.7) ? harmless * 0x0101_0101 : random.u32());
    if (random.chance(0.5)) writer.put(random.pick([[0x90], [0x40], [0x90, 0x90, 0x90, 0x90], [0xff, 0xc0]]));
    if (random.chance(0.1)) writer.put([0x0f, 0xa2]);
  }
  writer.countDown(RCX, head);
};

function nearPageEnd(random: Random): number {
  return CODE + PAGE * (1 + random.below(CODE_SIZE / PAGE - 1)) - random.below(6);
}

/** Loads of CR3, whose tables show other bytes in the same place, and stores to both. */
const flips: Attack = (writer, random) => {
  const inside = random.chance(0.6);
  if (inside) writer.moveTo(ALIASED + random.below(PAGE - 200));
  writer.setRegister(RCX, 1 + random.below(20));
  const head = writer.here;
  for (let left = 1 + random.below(4); left > 0; left--) {
    writer.setRegister(0, pageTables(writer.mode, random.chance(0.5) ? 'first' : 'second'));
    writer.put([0x0f, 0x22, 0xd8]);
    if (random.chance(0.5)) writer.storeByte(ALIAS + ((writer.here + random.below(24)) & (PAGE - 1)), 0x90);
    if (random.chance(0.3)) writer.storeByte(writer.here + random.below(24), 0x40);
    writer.put([0x90, 0xff, 0xc2]);
  }
  writer.countDown(RCX, head);
};

/** Locked operations that cross the ends of pages: of data, code, what cannot be written, and what is not there. */
const locks: Attack = (writer, random) => {
  const last = random.pick([DATA + PAGE, DATA + DATA_SIZE, CODE + PAGE, CODE + 2 * PAGE, ROM + PAGE, ROM, 0x20_0000]);
  const operation = random.pick(LOCKED);
  const wide = writer.mode === 'long' && random.chance(0.5) ? [0x48] : [];
  writer.put([0xf0, ...wide, ...operation, ...writer.absolute(random.below(8), last - 1 - random.below(8))]);
};

/** Writes a function wherever it may, and calls it: memory is filled with code. */
const fill: Attack = (writer, random) => {
  const step = random.pick([16, 64, 100, 4096]);
  const from = random.chance(0.5) ? DATA : codeAddress(random);
  for (let i = 0; i < 12; i++) {
    const at = from + i * step;
    writer.storeDword(at, random.pick([0xc3_c0_ff_90, 0xc3_90_90_90, 0xc3_40_40_40, 0x90_90_90_c3]) >>> 0);
    writer.branch(0xe8, at);
  }
};

/** Repeated string instructions over code, their own too. */
const repeats: Attack = (writer, random) => {
  writer.setRegister(RSI, random.chance(0.5) ? codeAddress(random) : writer.here - random.below(32));
  writer.setRegister(RDI, random.chance(0.5) ? codeAddress(random) : writer.here + random.below(48) - 24);
  writer.setRegister(RCX, random.chance(0.7) ? random.below(64) : random.pick([0x1000, 0x10000, 0xffff_ffff]));
  if (random.chance(0.3)) writer.put([0xfd]);
  const size = random.chance(0.2)
    ? [random.pick([0x66, 0x67])]
    : writer.mode === 'long' && random.chance(0.3)
      ? [0x48]
      : [];
  writer.put([random.pick([0xf2, 0xf3]), ...size, random.pick(STRINGS)]);
  writer.put([0xfc]);
};

/** Garbage in page tables, and accesses through it. */
const tables: Attack = (writer, random) => {
  const page = random.pick([CODE, CODE + PAGE, CODE + 2 * PAGE, DATA, DATA + PAGE, 0x5000, 0x4000, 0x2000]) / PAGE;
  const entry = pageTableEntry(writer.mode, page);
  const garbage = random.chance(0.5) ? random.u32() : (codeAddress(random) & -PAGE) | random.below(512);
  writer.storeDword(entry, garbage >>> 0);
  if (random.chance(0.2)) writer.storeDword(entry + 4, random.u32());
  if (random.chance(0.5)) writer.put([0x0f, 0x01, ...writer.absolute(7, page * PAGE)]);
  else writer.put([0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]); // cr3 again
  writer.storeByte(page * PAGE + random.below(PAGE), random.below(256));
  writer.branch(random.chance(0.5) ? 0xe8 : 0xe9, page * PAGE + random.below(PAGE));
};

/** Far transfers, and selectors of all kinds, into a table of garbage. */
const far: Attack = (writer, random) => {
  const selector = random.chance(0.8) ? random.below(GDT_SIZE) : random.below(0x1_0000);
  const offset = random.chance(0.7) ? codeAddress(random) : random.u32();
  const pointer = DATA + random.below(PAGE);
  writer.storeDword(pointer, offset);
  writer.storeDword(pointer + (writer.is16Bit ? 2 : 4), selector);
  const indirect = [0xff, ...writer.absolute(random.pick([3, 5]), pointer)];
  const direct = [random.pick([0x9a, 0xea]), ...little(offset, writer.is16Bit ? 2 : 4), ...little(selector, 2)];
  const load = [0x66, 0xb8, ...little(selector, 2), 0x8e, 0xc0 | (random.below(6) << 3)];
  const table = [0x66, 0xb8, ...little(selector, 2), 0x0f, 0x00, random.pick([0xd0, 0xd8, 0xe0, 0xe8])];
  const interrupt = [0xcd, random.below(256)];
  writer.put(random.pick([indirect, indirect, direct, load, table, interrupt]));
};

/** Control registers, model-specific registers, descriptor tables and returns, with any values. */
const system: Attack = (writer, random) => {
  const value = random.pick([random.u32(), random.pick(HEAVY_VALUES), codeAddress(random)]);
  writer.setRegister(0, value >>> 0);
  writer.setRegister(2, random.pick([0, 0, 0xffff_ffff, random.u32()]));
  writer.setRegister(3, random.chance(0.5) ? DATA : codeAddress(random));
  if (random.chance(0.5)) writer.setRegister(RCX, random.pick(MSRS));
  writer.put(random.pick(SYSTEM));
};

/** By name, to be chosen from. */
export const ATTACKS: Readonly<Record<string, Attack>> = {
  noise,
  instructions,
  prefixes,
  middles,
  overwrites,
  flips,
  locks,
  fill,
  repeats,
  tables,
  far,
  system,
};
