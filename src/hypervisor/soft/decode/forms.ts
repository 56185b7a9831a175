import { CrosvmError } from '../../../errors.ts';
import type { OpcodeRow } from './opcode-row.ts';
import { OP, OPCODES } from './opcodes.ts';

/** How an operand is found: the letters of opcode-row.ts. */
export const METHOD = {
  none: 0,
  /** E R M: general register or memory. */
  rmGpr: 1,
  /** H: general register in ModRM.rm whatever ModRM.mod says. */
  rmGprOnly: 2,
  regGpr: 3,
  opcodeGpr: 4,
  rmXmm: 5,
  regXmm: 6,
  rmMmx: 7,
  regMmx: 8,
  regSegment: 9,
  regControl: 10,
  regDebug: 11,
  rmStack: 12,
  immediate: 13,
  immediateSigned: 14,
  immediateSecond: 15,
  relative: 16,
  far: 17,
  offset: 18,
  fixedGpr: 19,
  fixedSegment: 20,
  fixedStack: 21,
  one: 22,
} as const;

/** Widths 0 to 16 stand for themselves; these depend on the instruction's sizes. */
export const WIDTH = { v: 17, z: 18, y: 19, n: 20, p: 21, a: 22, s: 23, e: 24, f: 25, k: 26 } as const;

/** An operand code is METHOD | WIDTH << 5 | fixed register << 10. */
export const WIDTH_SHIFT = 5;
export const REGISTER_SHIFT = 10;

export const FORM = {
  modrm: 1,
  lock: 2,
  default64: 4,
  force64: 8,
  max32: 16,
  byte: 32,
  condition: 64,
  /** F2 or F3 is part of the opcode and no repeat prefix. */
  repeatIsOpcode: 128,
  /** ModRM.mod does not select memory. */
  noMemory: 256,
} as const;

const LETTERS: Readonly<Record<string, number>> = {
  E: METHOD.rmGpr,
  R: METHOD.rmGpr,
  M: METHOD.rmGpr,
  H: METHOD.rmGprOnly,
  G: METHOD.regGpr,
  Z: METHOD.opcodeGpr,
  W: METHOD.rmXmm,
  U: METHOD.rmXmm,
  V: METHOD.regXmm,
  Q: METHOD.rmMmx,
  N: METHOD.rmMmx,
  P: METHOD.regMmx,
  S: METHOD.regSegment,
  C: METHOD.regControl,
  D: METHOD.regDebug,
  I: METHOD.immediate,
  J: METHOD.relative,
  A: METHOD.far,
  O: METHOD.offset,
  X: METHOD.none,
  Y: METHOD.none,
};

const WIDTHS: Readonly<Record<string, number>> = { '': 0, b: 1, w: 2, d: 4, q: 8, x: 16, t: 10, ...WIDTH };

const fixed = (method: number, width: number, register: number) =>
  method | (width << WIDTH_SHIFT) | (register << REGISTER_SHIFT);

const FIXED: Readonly<Record<string, number>> = {
  AL: fixed(METHOD.fixedGpr, 1, 0),
  CL: fixed(METHOD.fixedGpr, 1, 1),
  DX: fixed(METHOD.fixedGpr, 2, 2),
  AX: fixed(METHOD.fixedGpr, 2, 0),
  rAX: fixed(METHOD.fixedGpr, WIDTH.v, 0),
  eAX: fixed(METHOD.fixedGpr, WIDTH.z, 0),
  ES: fixed(METHOD.fixedSegment, 2, 0),
  CS: fixed(METHOD.fixedSegment, 2, 1),
  SS: fixed(METHOD.fixedSegment, 2, 2),
  DS: fixed(METHOD.fixedSegment, 2, 3),
  FS: fixed(METHOD.fixedSegment, 2, 4),
  GS: fixed(METHOD.fixedSegment, 2, 5),
  ST0: fixed(METHOD.fixedStack, 10, 0),
  STi: fixed(METHOD.rmStack, 10, 0),
  1: fixed(METHOD.one, 1, 0),
  sIb: fixed(METHOD.immediateSigned, 1, 0),
  Ib2: fixed(METHOD.immediateSecond, 1, 0),
};

/** The rows of the tables, numbered from 1; 0 is the invalid instruction. */
const COUNT = OPCODES.length + 1;
export const formOp = new Uint16Array(COUNT);
export const formFlags = new Uint16Array(COUNT);
/** Operand codes, three of each form. */
export const formOperands = new Uint16Array(COUNT * 3);
/** The form that REX.W selects instead; 0 where there is none. */
export const formWide = new Uint16Array(COUNT);

interface Key {
  /** 0 none, 1 66, 2 F3, 3 F2, -1 any. */
  prefix: number;
  map: number;
  opcode: number;
  /** How many opcodes follow each other. */
  count: number;
  digit: number;
  modrm: number;
  memory: boolean;
  register: boolean;
}

/** Takes the escape bytes from the front of `tokens` and returns their opcode map. */
function parseMap(tokens: string[]): number {
  if (tokens[0] !== '0f') return 0;
  tokens.shift();
  const map = tokens.length === 1 ? 1 : 2 + ['38', '3a'].indexOf(tokens[0]!);
  if (map > 1) tokens.shift();
  return Math.max(map, 1);
}

function parseKey(row: OpcodeRow): Key {
  const tokens = row[0].split(' ');
  const prefix = ['np', '66', 'f3', 'f2'].indexOf(tokens[0]!);
  if (prefix >= 0) tokens.shift();
  const map = parseMap(tokens);
  const [opcode, run] = tokens.shift()!.split('+');
  const operands = row[2] ?? '';
  const key: Key = { prefix, map, opcode: 0, count: 1, digit: -1, modrm: -1, memory: true, register: true };
  key.opcode = Number.parseInt(opcode!, 16);
  key.count = run === 'r' ? 8 : run === 'cc' ? 16 : 1;
  if (/\bM/.test(operands)) key.register = false;
  if (/\b[RUN]|STi/.test(operands)) key.memory = false;
  for (const token of tokens) {
    if (token === 'reg') key.memory = false;
    else if (token.startsWith('/')) key.digit = Number(token.slice(1));
    else key.modrm = Number.parseInt(token, 16);
  }
  return key;
}

function operandCode(token: string): number {
  const code = FIXED[token];
  if (code !== undefined) return code;
  const method = LETTERS[token[0]!];
  const width = WIDTHS[token.slice(1)];
  if (method === undefined || width === undefined) {
    throw new CrosvmError('E_INTERNAL', `The opcode table names an operand ${token} that does not exist.`);
  }
  return method === METHOD.none ? 0 : method | (width << WIDTH_SHIFT);
}

/** Whether the operation works on bytes: its first operand that is no immediate is a byte. */
function isByteForm(operands: readonly string[]): boolean {
  const first = operands.find((token) => !/^s?I/.test(token) && token !== 'DX');
  return first !== undefined && /^([EGZOXYM]b|AL)$/.test(first);
}

function buildForm(form: number, row: OpcodeRow, key: Key): void {
  const operands = (row[2] ?? '').split(' ').filter((token) => token !== '');
  const flags = (row[3] ?? '').split(' ');
  formOp[form] = OP[row[1] as keyof typeof OP]!;
  operands.forEach((token, i) => {
    formOperands[form * 3 + i] = operandCode(token);
  });
  const usesModrm = operands.some((token) => /^([ERMHGWUVQNPCD][a-z]?|Sw|STi)$/.test(token));
  let bits = usesModrm || key.digit >= 0 || key.modrm >= 0 ? FORM.modrm : 0;
  if (flags.includes('lock')) bits |= FORM.lock;
  if (flags.includes('d64')) bits |= FORM.default64;
  if (flags.includes('f64')) bits |= FORM.force64;
  if (flags.includes('o32')) bits |= FORM.max32;
  if (isByteForm(operands)) bits |= FORM.byte;
  if (key.count === 16) bits |= FORM.condition;
  if (key.prefix >= 2) bits |= FORM.repeatIsOpcode;
  if (operands.some((token) => token.startsWith('H'))) bits |= FORM.noMemory;
  formFlags[form] = bits;
}

/** The 4 prefixes times 72 values of ModRM of one opcode while the tables are read. */
interface Cells {
  forms: Uint16Array;
  ranks: Int8Array;
}

function covers(key: Key, column: number): boolean {
  if (column < 8) return key.memory && key.modrm < 0 && (key.digit < 0 || key.digit === column);
  const modrm = 0xc0 + column - 8;
  if (!key.register || (key.modrm >= 0 && key.modrm !== modrm)) return false;
  return key.digit < 0 || key.digit === ((modrm >> 3) & 7);
}

/** The cells, out of 288, that a row covers. */
function coveredCells(key: Key): number[] {
  const cells: number[] = [];
  for (let column = 0; column < 72; column++) {
    if (!covers(key, column)) continue;
    for (let prefix = 0; prefix < 4; prefix++) {
      if (key.prefix < 0 || key.prefix === prefix) cells.push(prefix * 72 + column);
    }
  }
  return cells;
}

function fillCells(cells: Cells, form: number, key: Key, covered: readonly number[], wide: boolean): void {
  const rank = 1 + (key.prefix >= 0 ? 4 : 0) + (key.modrm >= 0 ? 2 : key.digit >= 0 ? 1 : 0);
  for (const i of covered) {
    if (wide) {
      formWide[cells.forms[i]!] = form;
    } else if (rank === cells.ranks[i]) {
      throw new CrosvmError(
        'E_INTERNAL',
        `Two rows of the opcode table claim the same opcode ${OPCODES[form - 1]![0]}.`,
      );
    } else if (rank > cells.ranks[i]!) {
      cells.forms[i] = form;
      cells.ranks[i] = rank;
    }
  }
}

/** Whether 72 cells from `a` on are the same as those from `b` on. */
function sameCells(forms: Uint16Array, a: number, b: number): boolean {
  for (let i = 0; i < 72; i++) if (forms[a + i] !== forms[b + i]) return false;
  return true;
}

function allTheSame(forms: Uint16Array, from: number): boolean {
  for (let i = 1; i < 72; i++) if (forms[from + i] !== forms[from]) return false;
  return true;
}

/** Adds the nodes of one opcode and returns its root. */
function addNodes(nodes: number[], forms: Uint16Array): number {
  const children: number[] = [];
  for (let prefix = 0; prefix < 4; prefix++) {
    const first = prefix * 72;
    if (prefix > 0 && sameCells(forms, first, 0)) {
      children.push(children[0]!);
    } else if (allTheSame(forms, first)) {
      children.push(forms[first]!);
    } else {
      children.push(-(2 * nodes.length + 1));
      for (let i = 0; i < 72; i++) nodes.push(forms[first + i]!);
    }
  }
  if (children.every((child) => child === children[0])) return children[0]!;
  nodes.push(...children);
  return -2 * (nodes.length - 4);
}

interface Row {
  readonly form: number;
  readonly key: Key;
  readonly flags: readonly string[];
}

/** The rows by map * 256 + opcode. Read at the first decoding: a thread that only sets a VM up never decodes. */
let rowsByOpcode: Map<number, Row[]> | undefined;

function readRows(): Map<number, Row[]> {
  const rows = new Map<number, Row[]>();
  OPCODES.forEach((row, i) => {
    const key = parseKey(row);
    const entry = { form: i + 1, key, flags: (row[3] ?? '').split(' ') };
    for (let opcode = key.opcode; opcode < key.opcode + key.count; opcode++) {
      const index = key.map * 256 + opcode;
      const list = rows.get(index);
      if (list === undefined) rows.set(index, [entry]);
      else list.push(entry);
    }
  });
  return rows;
}

/** Builds the node of an opcode (map * 256 + opcode) in 64-bit code (mode 1) or other code (0), and enters it in ROOTS. */
export function buildRoot(mode: number, index: number): number {
  rowsByOpcode ??= readRows();
  const cells: Cells = { forms: new Uint16Array(288), ranks: new Int8Array(288) };
  for (const { form, key, flags } of rowsByOpcode.get(index) ?? []) {
    if (flags.includes(mode === 1 ? 'i64' : 'o64')) continue;
    buildForm(form, OPCODES[form - 1]!, key);
    fillCells(cells, form, key, coveredCells(key), flags.includes('w1'));
  }
  const root = addNodes(NODES, cells.forms);
  ROOTS[mode * 1024 + index] = root;
  return root;
}

/** In ROOTS: nobody has asked for this opcode so far. */
export const UNBUILT = -0x8000_0000;

/**
 * Finds the form of an opcode. ROOTS[mode * 1024 + map * 256 + opcode], with mode 1 for 64-bit code and maps one-byte, 0f, 0f 38 and
 * 0f 3a, is UNBUILT or a node: a form when not negative; -(2 * i) when NODES[i + prefix] is the node (prefix: 0 none, 1 66, 2 F3,
 * 3 F2); -(2 * i + 1) when NODES[i + k] is the form, k being ModRM.reg for memory and 8 + the low six bits of ModRM for registers.
 */
export const ROOTS = new Int32Array(2 * 1024).fill(UNBUILT);
/** NODES[0] is not used: a root of -0 would be no node. */
export const NODES: number[] = [0];
