/** Random FXSAVE images. */
import type { Random } from './random.ts';

const SINGLES = [
  ...[0, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7f80_0001],
  ...[0x0000_0001, 0x807f_ffff, 0x0080_0000, 0x7f7f_ffff, 0x4f00_0000, 0x4eff_ffff, 0xcf00_0000, 0x3f00_0000],
  ...[0x4b80_0000, 0x3fc0_0000, 0x4020_0000, 0x5f00_0000, 0xdf00_0000, 0x3400_0000, 0x7fa0_1234],
];
const DOUBLES = [
  ...[0n, 1n << 63n, 0x3ff0_0000_0000_0000n, 0xbff0_0000_0000_0000n, 0x7ff0_0000_0000_0000n, 0xfff0_0000_0000_0000n],
  ...[0x7ff8_0000_0000_0000n, 0xfff8_0000_0000_0000n, 0x7ff0_0000_0000_0001n, 1n, 0x800f_ffff_ffff_ffffn],
  ...[0x0010_0000_0000_0000n, 0x7fef_ffff_ffff_ffffn, 0x41e0_0000_0000_0000n, 0xc1e0_0000_0000_0000n],
  ...[0x41df_ffff_ffc0_0000n, 0x43e0_0000_0000_0000n, 0x3fe0_0000_0000_0000n, 0x3ff8_0000_0000_0000n],
  ...[0x4004_0000_0000_0000n, 0x36a0_0000_0000_0000n, 0x47ef_ffff_e000_0000n, 0x7ff4_0000_1234_5678n],
];
/** Sign and exponent of 80-bit numbers. */
const EXPONENTS = [
  0, 0x8000, 0x3fff, 0xbfff, 0x7fff, 0xffff, 1, 0x7ffe, 0x4000, 0x3ffe, 0x403d, 0x403e, 0xc03e, 0x3f80,
];
const SIGNIFICANDS = [
  ...[1n << 63n, (1n << 64n) - 1n, 3n << 62n, (1n << 63n) | 1n, 0n, 1n, (1n << 63n) - 1n, 0xc90f_daa2_2168_c235n],
];

const MASKED = 0x1f80;
const PRECISION_FLAG = 0x20;
const ALL_FLAGS = 0x3f;

export function randomFxsave(random: Random): Uint8Array {
  const image = new Uint8Array(512);
  const view = new DataView(image.buffer);
  let control = 0x37f;
  if (random.chance(0.3)) control = (control & ~0xf00) | (random.below(4) << 10) | (random.pick([0, 2, 3]) << 8);
  if (random.chance(0.05)) control &= ~(1 << random.below(6));
  view.setUint16(0, control, true);
  view.setUint16(
    2,
    (random.chance(0.5) ? 0 : random.below(8) << 11) | (random.chance(0.8) ? 0 : random.below(16) << 8),
    true,
  );
  view.setUint8(4, random.chance(0.5) ? 0xff : random.chance(0.3) ? 0 : random.below(256));
  let mxcsr = MASKED;
  if (random.chance(0.3)) mxcsr |= random.below(4) << 13;
  if (random.chance(0.1)) mxcsr |= 0x8000;
  if (random.chance(0.1)) mxcsr |= 0x40;
  if (random.chance(0.05)) mxcsr &= ~(0x80 << random.below(6));
  // Where flags are up already generated code does more by itself.
  if (random.chance(0.6)) mxcsr |= random.pick([PRECISION_FLAG, ALL_FLAGS, random.below(64)]) & ~(~mxcsr >> 7);
  view.setUint32(24, mxcsr, true);
  for (let i = 0; i < 8; i++) randomExtended(random, view, 32 + i * 16);
  for (let i = 0; i < 16; i++) randomVector(random, view, 160 + i * 16);
  return image;
}

function randomExtended(random: Random, view: DataView, at: number): void {
  const exponent = random.chance(0.5) ? random.pick(EXPONENTS) : 0x3fff + random.below(140) - 70;
  view.setUint16(at + 8, exponent | (random.chance(0.5) ? 0x8000 : 0), true);
  let significand = random.chance(0.5) ? random.pick(SIGNIFICANDS) : random.u64();
  if ((exponent & 0x7fff) !== 0 && random.chance(0.95)) significand |= 1n << 63n;
  view.setBigUint64(at, significand, true);
}

function randomVector(random: Random, view: DataView, at: number): void {
  const kind = random.below(6);
  for (let i = 0; i < 16; i += 4) {
    view.setUint32(at + i, kind === 0 || random.chance(0.6) ? random.pick(SINGLES) : random.u32(), true);
  }
  if (kind === 1) for (let i = 0; i < 16; i += 8) view.setBigUint64(at + i, random.pick(DOUBLES), true);
  if (kind === 2) for (let i = 0; i < 16; i++) view.setUint8(at + i, random.below(random.pick([2, 16, 256])));
  if (kind === 4) for (let i = 0; i < 16; i += 8) view.setBigUint64(at + i, moderateDouble(random), true);
  if (kind === 5) for (let i = 0; i < 16; i += 4) view.setFloat32(at + i, random.below(2 ** 24) / 2 ** 12 - 1000, true);
}

/** Bits of a number of binary64 as programs compute with. */
export function moderateDouble(random: Random): bigint {
  const exponent = BigInt(1023 - 20 + random.below(40));
  return (BigInt(random.below(2)) << 63n) | (exponent << 52n) | (random.u64() >> 12n);
}

/** Bits of one of the numbers of binary64 that instructions care for. */
export const specialDouble = (random: Random): bigint => random.pick(DOUBLES);
