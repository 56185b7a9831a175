import { type CodeSize, type Insn, NO_REGISTER, RIP, SEG } from './insn.ts';

/** Base and index of the eight forms of 16-bit addressing (Intel SDM vol. 2, table 2-1). */
const BASE16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEX16 = [6, 7, 6, 7, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER];

const RSP = 4;
const RBP = 5;

const int8 = (bytes: Uint8Array, pos: number) => (bytes[pos]! << 24) >> 24;
const int16 = (bytes: Uint8Array, pos: number) => ((bytes[pos]! | (bytes[pos + 1]! << 8)) << 16) >> 16;
const int32 = (bytes: Uint8Array, pos: number) =>
  bytes[pos]! | (bytes[pos + 1]! << 8) | (bytes[pos + 2]! << 16) | (bytes[pos + 3]! << 24);

/**
 * Decodes the memory operand of a ModRM byte whose mod is not 3: base, index, scale, disp and, where `out.seg` is still the default, the
 * segment. `pos` is the byte after ModRM, `out.addrSize` and `out.seg` are set. Returns the position after the displacement.
 */
export function decodeAddress(
  bytes: Uint8Array,
  pos: number,
  modrm: number,
  rex: number,
  codeSize: CodeSize,
  overridden: boolean,
  out: Insn,
): number {
  const end =
    out.addrSize === 2
      ? decodeAddress16(bytes, pos, modrm, out)
      : decodeAddress32(bytes, pos, modrm, rex, codeSize, out);
  if (!overridden && (out.base === RSP || out.base === RBP)) out.seg = SEG.ss;
  if (out.addrSize === 8) out.dispHigh = out.disp >> 31;
  return end;
}

function decodeAddress16(bytes: Uint8Array, pos: number, modrm: number, out: Insn): number {
  const mod = modrm >> 6;
  const rm = modrm & 7;
  if (mod === 0 && rm === 6) {
    out.disp = int16(bytes, pos);
    return pos + 2;
  }
  out.base = BASE16[rm]!;
  out.index = INDEX16[rm]!;
  return decodeDisplacement(bytes, pos, mod, 2, out);
}

function decodeAddress32(
  bytes: Uint8Array,
  pos: number,
  modrm: number,
  rex: number,
  codeSize: CodeSize,
  out: Insn,
): number {
  const mod = modrm >> 6;
  const rm = modrm & 7;
  if (rm === 5 && mod === 0) {
    if (codeSize === 8) out.base = RIP;
    out.disp = int32(bytes, pos);
    return pos + 4;
  }
  if (rm !== 4) {
    out.base = rm | ((rex & 1) << 3);
    return decodeDisplacement(bytes, pos, mod, 4, out);
  }
  const sib = bytes[pos++]!;
  const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
  if (index !== 4) {
    out.index = index;
    out.scale = sib >> 6;
  }
  if ((sib & 7) === 5 && mod === 0) {
    out.disp = int32(bytes, pos);
    return pos + 4;
  }
  out.base = (sib & 7) | ((rex & 1) << 3);
  return decodeDisplacement(bytes, pos, mod, 4, out);
}

/** The displacement that mod 1 (a byte) and mod 2 (`full` bytes) have. */
function decodeDisplacement(bytes: Uint8Array, pos: number, mod: number, full: 2 | 4, out: Insn): number {
  if (mod === 0) return pos;
  if (mod === 1) {
    out.disp = int8(bytes, pos);
    return pos + 1;
  }
  out.disp = full === 2 ? int16(bytes, pos) : int32(bytes, pos);
  return pos + full;
}
