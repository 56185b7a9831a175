import {
  Code,
  CpuidFeature,
  Decoder,
  DecoderOptions,
  Instruction,
  MemorySizeExt,
  Mnemonic,
  OpKind,
  Register,
} from 'iced-x86';
import { DECODE_INVALID, DECODE_TOO_LONG, decode } from './decode.ts';
import { expectedName, UNCHECKED_REGISTER_SIZE } from './iced-names.ts';
import { type CodeSize, Insn, NO_REGISTER, OPERAND, type Operand, RIP, SEG } from './insn.ts';
import { OPS, type OpName } from './opcodes.ts';

/** What our CPU shows in CPUID, in the words of iced; instructions of other features are invalid. */
const FEATURES = new Set(
  `INTEL8086 INTEL8086_ONLY INTEL186 INTEL286 INTEL386 INTEL486 X64 CLFSH CMOV CMPXCHG16B CPUID CX8 FPU FPU287 FPU387 FXSR MMX MSR
  MULTIBYTENOP PAUSE POPCNT RDPMC RDRAND RDTSCP SEP SSE SSE2 SSE3 SSE4_1 SSE4_2 SSSE3 SYSCALL TSC`
    .split(/\s+/)
    .map((name) => CpuidFeature[name as keyof typeof CpuidFeature]),
);

/** Features that we do not have, but whose instructions do something else on a processor without them. */
const ALIASED = new Set([
  'endbr32',
  'endbr64',
  'rdsspd',
  'rdsspq',
  'cldemote',
  'lzcnt',
  'tzcnt',
  'wbnoinvd',
  'vmcall',
  'vmmcall',
  'vmgexit',
  'prefetchw',
  'prefetch',
  'prefetchwt1',
  'prefetchit0',
  'prefetchit1',
  'prefetchreservednop',
  'bndcl',
  'bndcn',
  'bndcu',
  'bndldx',
  'bndmk',
  'bndmov',
  'bndstx',
  'fstpnce',
  'fstdw',
  'fstsg',
]);

const names = (table: object) =>
  Object.fromEntries(
    Object.entries(table)
      .filter(([, value]) => typeof value === 'number')
      .map(([name, value]) => [value as number, name]),
  );
const CODE_NAMES = names(Code);
const MNEMONIC_NAMES = names(Mnemonic);
const REGISTER_NAMES = names(Register);

const REGISTERS = new Map<number, { kind: number; reg: number; size: number }>();
for (const [value, name] of Object.entries(REGISTER_NAMES)) REGISTERS.set(Number(value), describeRegister(name));

function describeRegister(name: string): { kind: number; reg: number; size: number } {
  const lists: [number, number, string, number?][] = [
    [OPERAND.gpr, 1, 'AL CL DL BL SPL BPL SIL DIL R8L R9L R10L R11L R12L R13L R14L R15L AH CH DH BH'],
    [OPERAND.gpr, 2, 'AX CX DX BX SP BP SI DI R8W R9W R10W R11W R12W R13W R14W R15W'],
    [OPERAND.gpr, 4, 'EAX ECX EDX EBX ESP EBP ESI EDI R8D R9D R10D R11D R12D R13D R14D R15D'],
    [OPERAND.gpr, 8, 'RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15'],
    [OPERAND.seg, 2, 'ES CS SS DS FS GS'],
  ];
  for (const [kind, size, list] of lists) {
    const reg = list.split(' ').indexOf(name);
    if (reg >= 0) return { kind, reg, size };
  }
  const [, prefix, digits] = /^([A-Z]+)(\d+)$/.exec(name) ?? ['', '', ''];
  const kinds: Record<string, number> = {
    XMM: OPERAND.xmm,
    MM: OPERAND.mmx,
    ST: OPERAND.st,
    CR: OPERAND.cr,
    DR: OPERAND.dr,
  };
  return { kind: kinds[prefix!] ?? -1, reg: Number(digits), size: 0 };
}

/** Decodes the same bytes with iced-x86 and with our decoder. */
export class IcedOracle implements Disposable {
  readonly #decoder: Decoder;
  readonly #instruction = new Instruction();
  readonly #insn = new Insn();
  readonly #bytes: Uint8Array;
  readonly #codeSize: CodeSize;
  readonly #supported = new Map<number, boolean>();
  readonly #memorySizes = new Map<number, number>();

  constructor(bytes: Uint8Array, codeSize: CodeSize) {
    this.#bytes = bytes;
    this.#codeSize = codeSize;
    this.#decoder = new Decoder(codeSize * 8, bytes, DecoderOptions.None);
  }

  [Symbol.dispose](): void {
    this.#instruction.free();
    this.#decoder.free();
  }

  get position(): number {
    return this.#decoder.position;
  }

  /** Moves to another offset; the next instruction is decoded there. */
  seek(offset: number): void {
    this.#decoder.position = offset;
    this.#decoder.ip = BigInt(offset);
  }

  /** Semantic operation of the instruction that `next` decoded last. */
  get op(): number {
    return this.#insn.op;
  }

  /** Length of the instruction that `next` decoded last by our decoder, or its error. */
  length = 0;

  /** Decodes at the position, moves past what iced decoded there, and returns what differs, or null. */
  next(): string | null {
    const offset = this.#decoder.position;
    const iced = this.#instruction;
    this.#decoder.decodeOut(iced);
    const { code } = iced;
    this.length = decode(this.#bytes, offset, this.#bytes.length, this.#codeSize, this.#insn);
    const end = this.#decoder.position;
    if (code === Code.INVALID || !this.#isSupported(code)) {
      if (this.length === DECODE_INVALID || this.length === DECODE_TOO_LONG) return null;
      if (this.length < 0 && end >= this.#bytes.length) return null;
      return this.#report(
        offset,
        end,
        `${CODE_NAMES[code]} is not to be decoded, ours is ${OPS[this.#insn.op]} (${this.length})`,
      );
    }
    const problem = this.#compare(offset, end - offset);
    return problem === null ? null : this.#report(offset, end, `${CODE_NAMES[code]}: ${problem}`);
  }

  #report(offset: number, end: number, text: string): string {
    const bytes = Buffer.from(this.#bytes.subarray(offset, Math.max(end, offset + 1))).toString('hex');
    return `${bytes} in ${this.#codeSize * 8}-bit code: ${text}`;
  }

  #isSupported(code: number): boolean {
    let supported = this.#supported.get(code);
    if (supported === undefined) {
      const mnemonic = MNEMONIC_NAMES[this.#instruction.mnemonic]!.toLowerCase();
      const features = Array.from(this.#instruction.cpuidFeatures());
      supported = ALIASED.has(mnemonic) || features.every((feature) => FEATURES.has(feature));
      this.#supported.set(code, supported);
    }
    return supported;
  }

  #compare(offset: number, length: number): string | null {
    const insn = this.#insn;
    const iced = this.#instruction;
    if (this.length !== length) return `length ${this.length}, not ${length}`;
    if (insn.length !== length) return `insn.length ${insn.length}, not ${length}`;
    const code = CODE_NAMES[iced.code]!;
    const expected = expectedName(MNEMONIC_NAMES[iced.mnemonic]!.toLowerCase(), code, iced);
    const name = OPS[insn.op]!;
    // F3 49 90 is PAUSE to iced; processors exchange R8 with RAX.
    if (iced.code === Code.Pause && name === 'xchg' && insn.a.reg === 8) return null;
    if (name !== expected.name) return `op ${name}, not ${expected.name}`;
    if (insn.cc !== expected.cc) return `cc ${insn.cc}, not ${expected.cc}`;
    if (expected.opSize !== 0 && insn.opSize !== expected.opSize)
      return `opSize ${insn.opSize}, not ${expected.opSize}`;
    if (expected.addrSize !== 0 && insn.addrSize !== expected.addrSize)
      return `addrSize ${insn.addrSize}, not ${expected.addrSize}`;
    if (insn.lock !== iced.hasLockPrefix) return `lock ${insn.lock}`;
    const rep = iced.hasRepnePrefix ? 0xf2 : iced.hasRepPrefix ? 0xf3 : 0;
    if (expected.alias) return null;
    if (name !== 'bsf' && name !== 'bsr' && name !== 'nop' && insn.rep !== rep) return `rep ${insn.rep}, not ${rep}`;
    return this.#compareOperands(name, expected.implied, offset + length);
  }

  #compareOperands(name: OpName, implied: readonly number[], nextIp: number): string | null {
    const insn = this.#insn;
    const iced = this.#instruction;
    const operands = [insn.a, insn.b, insn.c];
    let k = 0;
    for (let i = 0; i < iced.opCount; i++) {
      if (implied.includes(i)) {
        if (iced.opKind(i) >= OpKind.MemorySegSI) {
          const problem = this.#compareImplied(iced.opKind(i));
          if (problem !== null) return problem;
        }
        continue;
      }
      const problem = this.#compareOperand(name, i, operands[k++]!, nextIp);
      if (problem !== null) return `operand ${i}: ${problem}`;
    }
    for (; k < 3; k++) if (operands[k]!.kind !== OPERAND.none) return `operand ${k} too many`;
    return null;
  }

  #compareImplied(kind: number): string | null {
    const insn = this.#insn;
    const sizes: Record<number, number> = {
      [OpKind.MemorySegSI]: 2,
      [OpKind.MemorySegESI]: 4,
      [OpKind.MemorySegRSI]: 8,
      [OpKind.MemorySegDI]: 2,
      [OpKind.MemorySegEDI]: 4,
      [OpKind.MemorySegRDI]: 8,
      [OpKind.MemoryESDI]: 2,
      [OpKind.MemoryESEDI]: 4,
      [OpKind.MemoryESRDI]: 8,
    };
    const addrSize = sizes[kind];
    if (addrSize !== undefined && insn.addrSize !== addrSize) return `addrSize ${insn.addrSize}, not ${addrSize}`;
    return kind <= OpKind.MemorySegRDI ? this.#compareSegment() : null;
  }

  #compareOperand(name: OpName, i: number, operand: Operand, nextIp: number): string | null {
    const insn = this.#insn;
    const iced = this.#instruction;
    const kind = iced.opKind(i);
    switch (kind) {
      case OpKind.Register: {
        const { kind, reg, size } = REGISTERS.get(iced.opRegister(i))!;
        if (operand.kind !== kind || operand.reg !== reg)
          return `kind ${operand.kind} reg ${operand.reg}, not ${kind} ${reg}`;
        if (kind === OPERAND.gpr && !UNCHECKED_REGISTER_SIZE.has(name) && operand.size !== size)
          return `size ${operand.size}, not ${size}`;
        return null;
      }
      case OpKind.NearBranch16:
        return check(operand, insn, OPERAND.rel, 2, insn.imm, ((iced.nearBranch16 - nextIp) << 16) >> 16, 0xffff);
      case OpKind.NearBranch32:
        return check(operand, insn, OPERAND.rel, 4, insn.imm, (iced.nearBranch32 - nextIp) | 0);
      case OpKind.NearBranch64:
        return check(operand, insn, OPERAND.rel, 8, insn.imm, Number(BigInt.asIntN(64, iced.nearBranch64)) - nextIp);
      case OpKind.FarBranch16:
        return check(operand, insn, OPERAND.far, 4, insn.imm, iced.farBranch16) ?? selector(insn, iced);
      case OpKind.FarBranch32:
        return check(operand, insn, OPERAND.far, 6, insn.imm, iced.farBranch32 | 0) ?? selector(insn, iced);
      case OpKind.Immediate8:
        return check(operand, insn, OPERAND.imm, 1, insn.imm, iced.immediate8);
      case OpKind.Immediate8_2nd:
        return insn.imm2 === iced.immediate8_2nd ? null : `imm2 ${insn.imm2}`;
      case OpKind.Immediate16:
        return check(operand, insn, OPERAND.imm, 2, insn.imm & 0xffff, iced.immediate16, 0xffff);
      case OpKind.Immediate32:
        return check(operand, insn, OPERAND.imm, 4, insn.imm, iced.immediate32 | 0);
      case OpKind.Immediate64:
        return check(
          operand,
          insn,
          OPERAND.imm,
          8,
          (BigInt(insn.immHigh) << 32n) | BigInt(insn.imm >>> 0),
          BigInt.asIntN(64, iced.immediate64),
        );
      case OpKind.Immediate8to16:
        return check(operand, insn, OPERAND.imm, 2, insn.imm, (iced.immediate8to16 << 16) >> 16);
      case OpKind.Immediate8to32:
        return check(operand, insn, OPERAND.imm, 4, insn.imm, iced.immediate8to32);
      case OpKind.Immediate8to64:
        return check(operand, insn, OPERAND.imm, 8, insn.imm, Number(iced.immediate8to64));
      case OpKind.Immediate32to64:
        return check(operand, insn, OPERAND.imm, 8, insn.imm, Number(iced.immediate32to64));
      case OpKind.Memory:
        return this.#compareMemory(operand, nextIp);
      default:
        return `kind ${kind} of iced is not known`;
    }
  }

  #memorySize(): number {
    const kind = this.#instruction.memorySize;
    let size = this.#memorySizes.get(kind);
    if (size === undefined) this.#memorySizes.set(kind, (size = MemorySizeExt.size(kind)));
    return size;
  }

  #compareMemory(operand: Operand, nextIp: number): string | null {
    const iced = this.#instruction;
    if (operand.kind !== OPERAND.mem) return `kind ${operand.kind}, not memory`;
    const size = this.#memorySize();
    if (size !== 0 && operand.size !== size) return `memory size ${operand.size}, not ${size}`;
    return this.#compareSegment() ?? this.#compareAddress(iced.memoryBase, iced.memoryIndex, nextIp);
  }

  /** iced keeps the overrides that 64-bit mode ignores; ours has the default there, DS or SS. */
  #compareSegment(): string | null {
    const { seg } = this.#insn;
    const expected = REGISTERS.get(this.#instruction.memorySegment)!.reg;
    if (this.#codeSize === 8 && seg <= SEG.ds && expected <= SEG.ds) return null;
    return seg === expected ? null : `seg ${seg}, not ${expected}`;
  }

  #compareAddress(base: number, index: number, nextIp: number): string | null {
    const insn = this.#insn;
    const iced = this.#instruction;
    const ripRelative = base === Register.RIP || base === Register.EIP;
    const any = base !== Register.None ? base : index;
    const sizeOfAny =
      any === Register.None
        ? iced.memoryDisplSize
        : ripRelative
          ? base === Register.RIP
            ? 8
            : 4
          : REGISTERS.get(any)!.size;
    if (insn.addrSize !== sizeOfAny) return `addrSize ${insn.addrSize}, not ${sizeOfAny}`;
    const baseReg = ripRelative ? RIP : base === Register.None ? NO_REGISTER : REGISTERS.get(base)!.reg;
    if (insn.base !== baseReg) return `base ${insn.base}, not ${baseReg}`;
    const indexReg = index === Register.None ? NO_REGISTER : REGISTERS.get(index)!.reg;
    if (insn.index !== indexReg) return `index ${insn.index}, not ${indexReg}`;
    if (index !== Register.None && 1 << insn.scale !== iced.memoryIndexScale) return `scale ${insn.scale}`;
    const bits = insn.addrSize * 8;
    let disp = (BigInt(insn.dispHigh) << 32n) | BigInt(insn.disp >>> 0);
    if (insn.addrSize !== 8) disp = BigInt(insn.disp);
    if (ripRelative) disp += BigInt(nextIp);
    const expected = BigInt.asUintN(bits, iced.memoryDisplacement);
    return BigInt.asUintN(bits, disp) === expected ? null : `disp ${disp}, not ${expected}`;
  }
}

function selector(insn: Insn, iced: Instruction): string | null {
  return insn.immHigh === iced.farBranchSelector ? null : `selector ${insn.immHigh}`;
}

/** Compares an operand whose value stands in the instruction; `mask` for those that are only 16 bits wide. */
function check(
  operand: Operand,
  insn: Insn,
  kind: number,
  size: number,
  value: number | bigint,
  expected: number | bigint,
  mask?: number,
): string | null {
  if (operand.kind !== kind || operand.size !== size)
    return `kind ${operand.kind} size ${operand.size}, not ${kind} ${size}`;
  if (mask !== undefined ? (Number(value) & mask) !== (Number(expected) & mask) : value !== expected)
    return `value ${value}, not ${expected}`;
  if (kind !== OPERAND.far && typeof value === 'number' && insn.immHigh !== insn.imm >> 31)
    return `immHigh ${insn.immHigh}`;
  return null;
}
