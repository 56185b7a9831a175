import { decodeAddress } from './decode-address.ts';
import {
  buildRoot,
  FORM,
  formFlags,
  formOp,
  formOperands,
  formWide,
  METHOD,
  NODES,
  REGISTER_SHIFT,
  ROOTS,
  UNBUILT,
  WIDTH,
  WIDTH_SHIFT,
} from './forms.ts';
import { type CodeSize, type Insn, NO_REGISTER, OPERAND, type Operand, SEG } from './insn.ts';
import { OP } from './opcodes.ts';

/** decode: the bytes are no valid instruction (#UD). */
export const DECODE_INVALID = 0;
/** decode: the instruction goes on past the limit. */
export const DECODE_MORE = -1;
/** decode: the instruction is longer than 15 bytes (#GP). */
export const DECODE_TOO_LONG = -2;

const MAX_LENGTH = 15;
const MOV_TO_SEG = OP.movToSeg;
/** CR0, CR2, CR3, CR4 and CR8 exist. */
const CONTROL_REGISTERS = 0b1_0001_1101;

// The instruction that is being decoded: kept here so that decoding allocates nothing.
let code: Uint8Array = new Uint8Array(0);
let pos = 0;
let size: CodeSize = 8;
let opcode = 0;
let modrm = 0;
/** The REX prefix; 0 where there is none. */
let rex = 0;
let operandPrefix = false;
let addressPrefix = false;
/** The segment override; -1 where there is none. */
let override = -1;

/**
 * Decodes the instruction at `offset` into `out`; bytes at `limit` and after are not used. Returns its length (1 to 15),
 * DECODE_INVALID with `out.op` 0, DECODE_MORE or DECODE_TOO_LONG. `out` holds nothing useful unless there is a length.
 */
export function decode(bytes: Uint8Array, offset: number, limit: number, codeSize: CodeSize, out: Insn): number {
  code = bytes;
  pos = offset;
  size = codeSize;
  const end = Math.min(limit, bytes.length, offset + MAX_LENGTH);
  reset(out);
  const valid = decodePrefixes(end, out) && decodeForm(out);
  const length = pos - offset;
  if (pos > end) {
    out.op = 0;
    return end === offset + MAX_LENGTH ? DECODE_TOO_LONG : DECODE_MORE;
  }
  if (!valid) {
    out.op = 0;
    return DECODE_INVALID;
  }
  out.length = length;
  return length;
}

function reset(out: Insn): void {
  modrm = 0;
  rex = 0;
  operandPrefix = false;
  addressPrefix = false;
  override = -1;
  out.op = 0;
  out.cc = 0;
  out.length = 0;
  out.rep = 0;
  out.lock = false;
  out.base = NO_REGISTER;
  out.index = NO_REGISTER;
  out.scale = 0;
  out.disp = 0;
  out.dispHigh = 0;
  out.imm = 0;
  out.immHigh = 0;
  out.imm2 = 0;
}

/** Reads prefixes and the first opcode byte. False when they take all the bytes to `end`; `pos` is then after it. */
function decodePrefixes(end: number, out: Insn): boolean {
  while (pos < end) {
    const byte = code[pos++]!;
    if (size === 8 && (byte & 0xf0) === 0x40) {
      rex = byte;
      continue;
    }
    switch (byte) {
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
        // 64-bit mode ignores these four: they do not even undo an override by FS or GS.
        if (size !== 8) override = (byte >> 3) & 3;
        break;
      case 0x64:
      case 0x65:
        override = byte - 0x60;
        break;
      case 0x66:
        operandPrefix = true;
        break;
      case 0x67:
        addressPrefix = true;
        break;
      case 0xf0:
        out.lock = true;
        break;
      case 0xf2:
      case 0xf3:
        out.rep = byte;
        break;
      default:
        opcode = byte;
        return true;
    }
    // Only a REX prefix right before the opcode counts.
    rex = 0;
  }
  pos = end + 1;
  return false;
}

/** Decodes from the opcode on. False when it is invalid. */
function decodeForm(out: Insn): boolean {
  out.addrSize = addressPrefix ? (size === 4 ? 2 : 4) : size;
  out.seg = override < 0 ? SEG.ds : override;
  const form = findForm(out);
  if (form === 0) return false;
  const flags = formFlags[form]!;
  out.op = formOp[form]!;
  if (flags & FORM.condition) out.cc = opcode & 15;
  if (flags & FORM.repeatIsOpcode) out.rep = 0;
  setOperandSize(flags, out);
  if (flags & FORM.modrm) {
    modrm = code[pos++] ?? 0;
    if (modrm < 0xc0 && !(flags & FORM.noMemory)) pos = decodeAddress(code, pos, modrm, rex, size, override >= 0, out);
  }
  const i = form * 3;
  if (!decodeOperand(formOperands[i]!, out.a, out)) return false;
  if (!decodeOperand(formOperands[i + 1]!, out.b, out)) return false;
  decodeOperand(formOperands[i + 2]!, out.c, out);
  if (out.op === MOV_TO_SEG && out.a.reg === SEG.cs) return false;
  return !out.lock || ((flags & FORM.lock) !== 0 && out.a.kind === OPERAND.mem);
}

/** Reads the rest of the opcode and returns its form; 0 when there is none. */
function findForm(out: Insn): number {
  let map = 0;
  if (opcode === 0x0f) {
    map = 1;
    opcode = code[pos++] ?? 0;
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? 2 : 3;
      opcode = code[pos++] ?? 0;
    }
  }
  let index = map * 256 + opcode;
  // NOP is XCHG of the accumulator with itself; REX.B makes it an exchange with R8 again.
  if (index === 0x90 && rex & 1) index = 0x91;
  const mode = size === 8 ? 1 : 0;
  let node = ROOTS[mode * 1024 + index]!;
  if (node === UNBUILT) node = buildRoot(mode, index);
  if (node < 0 && (node & 1) === 0) {
    const prefix = out.rep === 0xf3 ? 2 : out.rep === 0xf2 ? 3 : operandPrefix ? 1 : 0;
    node = NODES[-node / 2 + prefix]!;
  }
  if (node < 0) {
    const byte = code[pos] ?? 0;
    node = NODES[(-node >> 1) + (byte < 0xc0 ? (byte >> 3) & 7 : 8 + (byte & 0x3f))]!;
    // The byte that made it invalid is part of it.
    if (node === 0) pos++;
  }
  return rex & 8 && formWide[node] !== 0 ? formWide[node]! : node;
}

function setOperandSize(flags: number, out: Insn): void {
  let bytes: number;
  if (size !== 8) bytes = operandPrefix ? 6 - size : size;
  else if (flags & FORM.force64 || rex & 8) bytes = 8;
  else if (operandPrefix) bytes = 2;
  else bytes = flags & FORM.default64 ? 8 : 4;
  if (flags & FORM.byte) bytes = 1;
  else if (flags & FORM.max32 && bytes === 8) bytes = 4;
  out.opSize = bytes;
}

/** The width in bytes of an operand code. */
function widthOf(word: number, out: Insn): number {
  const width = (word >> WIDTH_SHIFT) & 31;
  if (width <= 16) return width;
  switch (width) {
    case WIDTH.v:
      return out.opSize;
    case WIDTH.z:
      return out.opSize === 2 ? 2 : 4;
    case WIDTH.y:
      return rex & 8 ? 8 : 4;
    case WIDTH.n:
      return size === 8 ? 8 : 4;
    case WIDTH.p:
      return out.opSize + 2;
    case WIDTH.a:
      return out.opSize * 2;
    case WIDTH.s:
      return size === 8 ? 10 : 6;
    case WIDTH.e:
      return out.opSize === 2 ? 14 : 28;
    case WIDTH.f:
      return out.opSize === 2 ? 94 : 108;
    default:
      return 512;
  }
}

/** Fills `operand` as the operand code `word` says. False when it names a register that does not exist. */
function decodeOperand(word: number, operand: Operand, out: Insn): boolean {
  operand.kind = OPERAND.none;
  operand.reg = 0;
  operand.size = 0;
  if (word === 0) return true;
  operand.size = widthOf(word, out);
  switch (word & ((1 << WIDTH_SHIFT) - 1)) {
    case METHOD.rmGpr:
      if (modrm < 0xc0) operand.kind = OPERAND.mem;
      else setGpr(operand, (modrm & 7) | ((rex & 1) << 3));
      return true;
    case METHOD.rmGprOnly:
      setGpr(operand, (modrm & 7) | ((rex & 1) << 3));
      return true;
    case METHOD.regGpr:
      setGpr(operand, regField());
      return true;
    case METHOD.opcodeGpr:
      setGpr(operand, (opcode & 7) | ((rex & 1) << 3));
      return true;
    case METHOD.fixedGpr:
      setRegister(operand, OPERAND.gpr, word >> REGISTER_SHIFT);
      return true;
    case METHOD.rmXmm:
      if (modrm < 0xc0) operand.kind = OPERAND.mem;
      else setRegister(operand, OPERAND.xmm, (modrm & 7) | ((rex & 1) << 3));
      return true;
    case METHOD.regXmm:
      setRegister(operand, OPERAND.xmm, regField());
      return true;
    case METHOD.rmMmx:
      if (modrm < 0xc0) operand.kind = OPERAND.mem;
      else setRegister(operand, OPERAND.mmx, modrm & 7);
      return true;
    case METHOD.regMmx:
      setRegister(operand, OPERAND.mmx, (modrm >> 3) & 7);
      return true;
    case METHOD.rmStack:
      setRegister(operand, OPERAND.st, modrm & 7);
      return true;
    case METHOD.fixedStack:
      setRegister(operand, OPERAND.st, word >> REGISTER_SHIFT);
      return true;
    case METHOD.fixedSegment:
      setRegister(operand, OPERAND.seg, word >> REGISTER_SHIFT);
      return true;
    case METHOD.regSegment:
      setRegister(operand, OPERAND.seg, (modrm >> 3) & 7);
      return operand.reg <= SEG.gs;
    case METHOD.regControl:
      setRegister(operand, OPERAND.cr, regField());
      return operand.reg <= 8 && (CONTROL_REGISTERS & (1 << operand.reg)) !== 0;
    case METHOD.regDebug:
      setRegister(operand, OPERAND.dr, regField());
      return operand.reg < 8;
    default:
      return decodeInline(word, operand, out);
  }
}

function regField(): number {
  return ((modrm >> 3) & 7) | ((rex & 4) << 1);
}

function setRegister(operand: Operand, kind: number, reg: number): void {
  operand.kind = kind;
  operand.reg = reg;
}

/** A general register; without REX the byte registers 4 to 7 are AH CH DH BH. */
function setGpr(operand: Operand, reg: number): void {
  operand.kind = OPERAND.gpr;
  operand.reg = operand.size === 1 && rex === 0 && reg >= 4 ? reg + 12 : reg;
}

/** Operands whose value stands in the instruction. */
function decodeInline(word: number, operand: Operand, out: Insn): boolean {
  operand.kind = OPERAND.imm;
  switch (word & ((1 << WIDTH_SHIFT) - 1)) {
    case METHOD.one:
      out.imm = 1;
      break;
    case METHOD.immediate:
      decodeImmediate(operand, (word >> WIDTH_SHIFT) & 31, out);
      break;
    case METHOD.immediateSigned:
      setSigned(out, readSigned(1));
      operand.size = out.opSize;
      break;
    case METHOD.immediateSecond:
      out.imm2 = readUnsigned(1);
      operand.kind = OPERAND.none;
      break;
    case METHOD.relative:
      setSigned(out, readSigned(operand.size));
      operand.kind = OPERAND.rel;
      operand.size = out.opSize;
      break;
    case METHOD.far:
      out.imm = out.opSize === 2 ? readUnsigned(2) : readSigned(4);
      out.immHigh = readUnsigned(2);
      operand.kind = OPERAND.far;
      break;
    default:
      operand.kind = OPERAND.mem;
      out.disp = out.addrSize === 2 ? readUnsigned(2) : readSigned(4);
      out.dispHigh = out.addrSize === 8 ? readSigned(4) : 0;
  }
  return true;
}

/** Immediates: bytes and words that the table names as such are unsigned, those of the operand size are signed. */
function decodeImmediate(operand: Operand, width: number, out: Insn): void {
  if (width <= 2) {
    out.imm = readUnsigned(width);
    return;
  }
  setSigned(out, readSigned(operand.size === 2 ? 2 : 4));
  if (operand.size === 8) out.immHigh = readSigned(4);
  operand.size = out.opSize;
}

function setSigned(out: Insn, value: number): void {
  out.imm = value;
  out.immHigh = value >> 31;
}

function readUnsigned(width: number): number {
  const value = width === 1 ? code[pos]! | 0 : code[pos]! | (code[pos + 1]! << 8);
  pos += width;
  return value;
}

/** Reads a little-endian number of 1, 2 or 4 bytes with its sign. */
function readSigned(width: number): number {
  const at = pos;
  pos += width;
  if (width === 1) return (code[at]! << 24) >> 24;
  const low = code[at]! | (code[at + 1]! << 8);
  if (width === 2) return (low << 16) >> 16;
  return low | (code[at + 2]! << 16) | (code[at + 3]! << 24);
}
