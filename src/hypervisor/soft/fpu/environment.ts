/**
 * The memory images of the x87 unit: FNSTENV and FNSAVE in their four formats (Intel SDM vol. 1, figures 8-9 to 8-12) and
 * FXSAVE in its two (vol. 1, 10.5.1).
 */
import { CPU } from '../state.ts';
import { KIND, kindOf } from './float80.ts';
import type { RegisterStack } from './register-stack.ts';

/** Which of the four formats of FNSTENV, FLDENV, FNSAVE and FRSTOR an image has. */
export interface EnvironmentFormat {
  /** Operand size in bytes; 8 is as 4. */
  readonly size: 2 | 4 | 8;
  /** In real-address and virtual-8086 mode pointers are linear. */
  readonly real: boolean;
}

const TAG = { valid: 0, zero: 1, special: 2, empty: 3 } as const;

/** The tag word with 2 bits a register: what is in a register that is not empty follows from its contents. */
function fullTags(s: RegisterStack): number {
  let word = 0;
  for (let index = 0; index < 8; index++) {
    const physical = (s.top + index) & 7;
    word |= tagOf(s, index) << (2 * physical);
  }
  return word;
}

function tagOf(s: RegisterStack, index: number): number {
  if (s.isEmpty(index)) return TAG.empty;
  const kind = kindOf(s.read(index));
  if (kind === KIND.zero) return TAG.zero;
  return kind === KIND.normal ? TAG.valid : TAG.special;
}

/** One bit a register from two: only that it is empty is taken from the image. */
function briefTags(word: number): number {
  let tags = 0;
  for (let n = 0; n < 8; n++) if (((word >> (2 * n)) & 3) !== TAG.empty) tags |= 1 << n;
  return tags;
}

/** Bytes of an environment: 14 or 28. */
export function environmentSize(format: EnvironmentFormat): number {
  return format.size === 2 ? 14 : 28;
}

/** Writes the environment to an image of environmentSize bytes. */
export function writeEnvironment(s: RegisterStack, image: DataView, format: EnvironmentFormat): void {
  const { view, cpu } = s;
  const ip = view.getUint32(cpu + CPU.x87Ip, true);
  const dp = view.getUint32(cpu + CPU.x87Dp, true);
  const opcode = view.getUint16(cpu + CPU.x87Opcode, true) & 0x7ff;
  const cs = view.getUint16(cpu + CPU.x87Cs, true);
  const ds = view.getUint16(cpu + CPU.x87Ds, true);
  const words = [s.control, s.status, fullTags(s)];
  if (format.size === 2) {
    const pointers = format.real
      ? [ip, (((ip >> 16) & 15) << 12) | opcode, dp, ((dp >> 16) & 15) << 12]
      : [ip, cs, dp, ds];
    for (const [n, word] of [...words, ...pointers].entries()) image.setUint16(2 * n, word & 0xffff, true);
    return;
  }
  const reserved = 0xffff_0000;
  const pointers = format.real
    ? [reserved | ip, ((ip >>> 16) << 12) | opcode, reserved | dp, (dp >>> 16) << 12]
    : [ip, (opcode << 16) | cs, dp, reserved | ds];
  for (const [n, word] of words.entries()) image.setUint32(4 * n, reserved | word, true);
  for (const [n, pointer] of pointers.entries()) image.setUint32(12 + 4 * n, pointer, true);
}

/** Loads the environment from an image. */
export function readEnvironment(s: RegisterStack, image: DataView, format: EnvironmentFormat): void {
  const step = format.size === 2 ? 2 : 4;
  const word = (n: number): number => image.getUint16(step * n, true);
  s.control = word(0);
  s.status = word(1);
  s.tags = briefTags(word(2));
  const whole = (n: number): number => (step === 2 ? word(n) : image.getUint32(step * n, true));
  const ip = format.real ? word(3) | ((whole(4) >>> 12) << 16) : whole(3);
  const dp = format.real ? word(5) | ((whole(6) >>> 12) << 16) : whole(5);
  setPointers(s, BigInt(ip >>> 0), BigInt(dp >>> 0));
  const { view, cpu } = s;
  view.setUint16(cpu + CPU.x87Cs, format.real ? 0 : word(4), true);
  view.setUint16(cpu + CPU.x87Ds, format.real ? 0 : word(6), true);
  // The 16-bit protected format has no opcode.
  const opcode = format.real ? word(4) : step === 2 ? 0 : whole(4) >>> 16;
  view.setUint16(cpu + CPU.x87Opcode, opcode & 0x7ff, true);
}

function setPointers(s: RegisterStack, ip: bigint, dp: bigint): void {
  s.view.setBigUint64(s.cpu + CPU.x87Ip, ip, true);
  s.view.setBigUint64(s.cpu + CPU.x87Dp, dp, true);
}

/** What FNINIT does: the registers keep their contents. */
export function initialize(s: RegisterStack): void {
  s.control = 0x37f;
  s.status = 0;
  s.tags = 0;
  setPointers(s, 0n, 0n);
  s.view.setUint16(s.cpu + CPU.x87Cs, 0, true);
  s.view.setUint16(s.cpu + CPU.x87Ds, 0, true);
  s.view.setUint16(s.cpu + CPU.x87Opcode, 0, true);
}

/** Copies ST(0) to ST(7) to an image, `stride` bytes each. */
function writeRegisters(s: RegisterStack, image: DataView, offset: number, stride: number): void {
  for (let index = 0; index < 8; index++) {
    const from = s.addressOf(index);
    image.setBigUint64(offset + stride * index, s.view.getBigUint64(from, true), true);
    image.setUint16(offset + stride * index + 8, s.view.getUint16(from + 8, true), true);
  }
}

function readRegisters(s: RegisterStack, image: DataView, offset: number, stride: number): void {
  for (let index = 0; index < 8; index++) {
    const to = s.addressOf(index);
    s.view.setBigUint64(to, image.getBigUint64(offset + stride * index, true), true);
    s.view.setUint16(to + 8, image.getUint16(offset + stride * index + 8, true), true);
  }
}

/** FNSAVE: the environment and the registers, 94 or 108 bytes; then initializes the unit. */
export function saveAll(s: RegisterStack, image: DataView, format: EnvironmentFormat): void {
  writeEnvironment(s, image, format);
  writeRegisters(s, image, environmentSize(format), 10);
  initialize(s);
}

/** FRSTOR. */
export function restoreAll(s: RegisterStack, image: DataView, format: EnvironmentFormat): void {
  readEnvironment(s, image, format);
  readRegisters(s, image, environmentSize(format), 10);
}

/** How FXSAVE and FXRSTOR see their image. */
export interface FxFormat {
  /** REX.W: pointers have 64 bits and no selectors. */
  readonly wide: boolean;
  /** In 64-bit mode there are 16 XMM registers, elsewhere 8. */
  readonly code64: boolean;
}

/** Bits of MXCSR that can be set; DAZ is one of them. */
export const MXCSR_MASK = 0xffff;

const FX = {
  control: 0,
  status: 2,
  tags: 4,
  opcode: 6,
  ip: 8,
  dp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
} as const;

/** Writes an FXSAVE image. Of its 512 bytes those stay as they are that the format reserves. */
export function fxsave(s: RegisterStack, image: DataView, format: FxFormat): void {
  const { view, cpu } = s;
  image.setUint16(FX.control, s.control, true);
  image.setUint16(FX.status, s.status, true);
  image.setUint16(FX.tags, s.tags, true);
  image.setUint16(FX.opcode, view.getUint16(cpu + CPU.x87Opcode, true) & 0x7ff, true);
  image.setBigUint64(FX.ip, view.getBigUint64(cpu + CPU.x87Ip, true), true);
  image.setBigUint64(FX.dp, view.getBigUint64(cpu + CPU.x87Dp, true), true);
  if (!format.wide) {
    image.setUint32(FX.ip + 4, view.getUint16(cpu + CPU.x87Cs, true), true);
    image.setUint32(FX.dp + 4, view.getUint16(cpu + CPU.x87Ds, true), true);
  }
  image.setUint32(FX.mxcsr, view.getUint32(cpu + CPU.mxcsr, true), true);
  image.setUint32(FX.mxcsrMask, MXCSR_MASK, true);
  for (let index = 0; index < 8; index++) {
    image.setBigUint64(FX.st + 16 * index + 8, 0n, true);
  }
  writeRegisters(s, image, FX.st, 16);
  copyVectors(view, cpu + CPU.xmm, image, FX.xmm, format);
}

function copyVectors(from: DataView, source: number, to: DataView, target: number, format: FxFormat): void {
  const bytes = format.code64 ? 256 : 128;
  for (let n = 0; n < bytes; n += 8) to.setBigUint64(target + n, from.getBigUint64(source + n, true), true);
}

/** Loads an FXSAVE image of 512 bytes. False, and nothing is changed, if it has reserved bits of MXCSR set (#GP). */
export function fxrstor(s: RegisterStack, image: DataView, format: FxFormat): boolean {
  const mxcsr = image.getUint32(FX.mxcsr, true);
  if ((mxcsr & ~MXCSR_MASK) !== 0) return false;
  const { view, cpu } = s;
  s.control = image.getUint16(FX.control, true);
  s.status = image.getUint16(FX.status, true);
  s.tags = image.getUint8(FX.tags);
  const half = (value: bigint): bigint => (format.wide ? value : BigInt.asUintN(32, value));
  setPointers(s, half(image.getBigUint64(FX.ip, true)), half(image.getBigUint64(FX.dp, true)));
  view.setUint16(cpu + CPU.x87Opcode, image.getUint16(FX.opcode, true) & 0x7ff, true);
  view.setUint16(cpu + CPU.x87Cs, format.wide ? 0 : image.getUint16(FX.ip + 4, true), true);
  view.setUint16(cpu + CPU.x87Ds, format.wide ? 0 : image.getUint16(FX.dp + 4, true), true);
  view.setUint32(cpu + CPU.mxcsr, mxcsr, true);
  readRegisters(s, image, FX.st, 16);
  copyVectors(image, FX.xmm, view, cpu + CPU.xmm, format);
  return true;
}
