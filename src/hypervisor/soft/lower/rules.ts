/** How each integer instruction becomes micro-operations. Instructions without a rule here are executed in TypeScript. */
import { OPERAND, SEG } from '../decode/insn.ts';
import { OP, OPS, type OpName } from '../decode/opcodes.ts';
import { NO_LINK, UNRESOLVED } from '../interpreter/record.ts';
import { SLOT } from '../state.ts';
import { type Address, AT_EA, type Lowering } from './lowering.ts';

export type Rule = (l: Lowering) => void;

const RULES: (Rule | undefined)[] = OPS.map(() => undefined);

/** The rule for each semantic operation; undefined: none. */
export const rules: readonly (Rule | undefined)[] = RULES;

export function rule(names: readonly OpName[], define: (name: OpName) => Rule): void {
  for (const name of names) RULES[OP[name]] = define(name);
}

rule(['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp', 'test'], (name) => (l) => binary(l, name));
rule(['inc', 'dec', 'neg', 'not'], (name) => (l) => {
  l.modify(l.insn.a, (slot) => l.emit(`${name}.${l.insn.a.size}`, { a: slot }));
});

function binary(l: Lowering, name: string): void {
  const { a, b } = l.insn;
  const op = `${name}.${a.size}`;
  const writes = name !== 'cmp' && name !== 'test';
  if (a.kind === OPERAND.mem) {
    const right = b.kind === OPERAND.imm ? { imm: l.insn.imm } : { b: l.slot(b) };
    const form = b.kind === OPERAND.imm ? 'i' : 'r';
    if (writes) l.modify(a, (slot) => l.emit(`${op}.r${form}`, { a: slot, ...right }));
    else l.emit(`${op}.m${form}`, { ...l.address(a.size, false), ...right });
  } else if (b.kind === OPERAND.imm) {
    l.emit(`${op}.ri`, { a: l.slot(a), imm: l.insn.imm });
  } else if (b.kind === OPERAND.mem && l.has(`${op}.rm`)) {
    l.emit(`${op}.rm`, { a: l.slot(a), ...l.address(b.size, false) });
  } else {
    l.emit(`${op}.rr`, { a: l.slot(a), b: l.source(b) });
  }
}

rule(['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sar'], (name) => (l) => {
  const { a, b } = l.insn;
  const op = `${name}.${a.size}`;
  if (b.kind !== OPERAND.imm) {
    l.modify(a, (slot) => l.emit(`${op}.rc`, { a: slot }));
    return;
  }
  const count = l.insn.imm & (a.size === 8 ? 63 : 31);
  if (count !== 0) l.modify(a, (slot) => l.emit(`${op}.ri`, { a: slot, imm: count }));
  else shiftByNothing(l);
});

/** A count of 0 leaves the flags, but a memory operand is accessed and a 32-bit register is zero-extended. */
function shiftByNothing(l: Lowering): void {
  const { a } = l.insn;
  l.modify(a, (slot) => l.emit(`mov.${a.size}.rr`, { a: slot, b: slot }));
}

rule(['shld', 'shrd'], (name) => (l) => {
  const { a, b, c } = l.insn;
  const op = `${name}.${a.size}`;
  const count = l.insn.imm & (a.size === 8 ? 63 : 31);
  if (c.kind !== OPERAND.imm) l.modify(a, (slot) => l.emit(`${op}.rc`, { a: slot, b: l.slot(b) }));
  else if (count !== 0) l.modify(a, (slot) => l.emit(`${op}.ri`, { a: slot, b: l.slot(b), imm: count }));
  else shiftByNothing(l);
});

rule(['mul', 'imul1', 'div', 'idiv'], (name) => (l) => {
  l.emit(`${name}.${l.insn.a.size}`, { b: l.source(l.insn.a) });
});
rule(['imul'], () => (l) => {
  const { a, b, c } = l.insn;
  const from = l.source(b);
  if (c.kind === OPERAND.imm) l.emit(`imul.${a.size}.ri`, { a: l.slot(a), b: from, imm: l.insn.imm });
  else l.emit(`imul.${a.size}.rr`, { a: l.slot(a), b: from });
});
rule(['cbw', 'cwd'], (name) => (l) => l.emit(`${name}.${l.insn.opSize}`));

rule(['mov', 'movnti'], () => (l) => move(l));

function move(l: Lowering): void {
  const { a, b, imm, immHigh } = l.insn;
  if (a.kind === OPERAND.mem) {
    const address = l.address(a.size, true);
    if (b.kind === OPERAND.imm) l.emit(`mov.${a.size}.mi`, { ...address, imm });
    else l.emit(`mov.${a.size}.mr`, { ...address, b: l.slot(b) });
  } else if (b.kind === OPERAND.mem) {
    l.emit(`mov.${a.size}.rm`, { a: l.slot(a), ...l.address(a.size, false) });
  } else if (b.kind !== OPERAND.imm) {
    l.emit(`mov.${a.size}.rr`, { a: l.slot(a), b: l.slot(b) });
  } else if (a.size === 8 && immHigh !== imm >> 31) {
    l.emit('mov.imm64', { a: l.slot(a) });
    l.patchImm64(imm, immHigh);
  } else {
    l.emit(`mov.${a.size}.ri`, { a: l.slot(a), imm });
  }
}

rule(['movzx', 'movsx', 'movsxd'], (name) => (l) => {
  const { a, b } = l.insn;
  const from = b.size;
  if (from === a.size) {
    move(l); // MOVSXD without REX.W
    return;
  }
  // A zero extension to 32 bits is one to 64.
  const op = name === 'movzx' ? `movzx.${from}.${Math.min(a.size, 4)}` : `movsx.${from}.${a.size}`;
  if (b.kind === OPERAND.mem) l.emit(`${op}.rm`, { a: l.slot(a), ...l.address(from, false) });
  else l.emit(`${op}.rr`, { a: l.slot(a), b: l.slot(b) });
});

rule(['lea'], () => (l) => {
  const { a, addrSize } = l.insn;
  const plain = l.plainAddress();
  const size = Math.min(a.size, addrSize);
  if (size === a.size || size === 4) {
    l.emit(`lea.${size}`, { a: l.slot(a), ...plain });
  } else {
    l.emit('ea.mask', { ...plain, imm: addrSize << 4 });
    l.emit(`mov.${a.size}.rr`, { a: l.slot(a), b: SLOT.ea });
  }
});

rule(['xchg'], () => (l) => {
  const { a, b } = l.insn;
  l.modify(a, (slot) => l.emit(`xchg.${a.size}`, { a: slot, b: l.slot(b) }), true);
});
rule(['xadd', 'cmpxchg'], (name) => (l) => {
  const { a, b } = l.insn;
  l.modify(a, (slot) => l.emit(`${name}.${a.size}`, { a: slot, b: l.slot(b) }), true);
});

// It may as well be atomic (semantics/locked.ts).
rule(['cmpxchg8b'], () => (l) => l.emit('lock.cmpxchg8b', l.address(8, true)));

rule(['bt', 'bts', 'btr', 'btc'], (name) => (l) => {
  const { a, b } = l.insn;
  const op = `${name}.${a.size}`;
  const right = b.kind === OPERAND.imm ? { imm: l.insn.imm } : { b: l.slot(b) };
  const form = b.kind === OPERAND.imm ? 'ri' : 'rr';
  if (a.kind !== OPERAND.mem) {
    l.emit(`${op}.${form}`, { a: l.slot(a), ...right });
    return;
  }
  const writes = name !== 'bt';
  let address: Address;
  if (b.kind === OPERAND.imm) {
    address = l.address(a.size, writes);
  } else {
    // The bit offset counts before the address size and the segment do.
    l.emit(`ea.bit.${a.size}`, { ...l.plainAddress(), b: l.slot(b) });
    address = l.address(a.size, writes, AT_EA);
  }
  l.emit(`${writes ? 'loadForStore' : 'load'}.${a.size}`, address);
  l.emit(`${op}.${form}`, { a: SLOT.t1, ...right });
  if (writes) l.emit(`storeBack.${a.size}`, address);
});
rule(['bsf', 'bsr', 'popcnt'], (name) => (l) => {
  l.emit(`${name}.${l.insn.a.size}`, { b: l.source(l.insn.b), a: l.slot(l.insn.a) });
});
rule(['crc32'], () => (l) => l.emit(`crc32.${l.insn.b.size}`, { b: l.source(l.insn.b), a: l.slot(l.insn.a) }));
rule(['bswap'], () => (l) => l.emit(`bswap.${l.insn.a.size}`, { a: l.slot(l.insn.a) }));
rule(['cmovcc'], () => (l) => {
  const { a, b, cc } = l.insn;
  l.emit(`cmovcc.${a.size}.${cc}`, { b: l.source(b), a: l.slot(a) });
});
rule(['setcc'], () => (l) => l.write(l.insn.a, (slot) => l.emit(`setcc.${l.insn.cc}`, { a: slot })));
rule(['clc', 'stc', 'cmc', 'cld', 'std', 'lahf', 'sahf', 'cli', 'sti'], (name) => (l) => l.emit(name));
rule(['nop', 'invd', 'wbinvd', 'lfence', 'sfence'], (name) => (l) => {
  // INVD and WBINVD need privilege 0: TypeScript checks. LFENCE and SFENCE order what is in order anyway: the host's
  // processor keeps loads and stores in theirs.
  if (name === 'invd' || name === 'wbinvd') l.callout(false);
  else l.emit('nop');
});
rule(['mfence', 'pause'], (name) => (l) => l.emit(l.shared ? name : 'nop'));

// Nothing to flush, but the address is checked like that of a load (SDM vol. 2, CLFLUSH).
rule(['clflush'], () => (l) => void l.source(l.insn.a));

// -- the stack

rule(['push'], () => (l) => {
  const { a, imm } = l.insn;
  const size = a.kind === OPERAND.imm ? l.insn.opSize : a.size;
  const op = `push.${stackForm(l)}.${size}`;
  if (a.kind === OPERAND.imm) l.emit(`${op}.i`, { imm });
  else l.emit(`${op}.r`, { b: l.source(a) });
});
rule(['pop'], () => (l) => {
  const { a } = l.insn;
  if (a.kind !== OPERAND.mem) {
    l.emit(`pop.${stackForm(l)}.${a.size}`, { a: l.slot(a) });
  } else if (l.is64 || l.isFlat) {
    popToMemory(l);
  } else {
    l.callout(false);
  }
});

rule(['pushSeg'], () => (l) => {
  if (!l.isFlat) l.callout(false);
  else l.emit(`push.flat.${l.insn.opSize}.segment${l.insn.a.reg}`);
});

/** Which of the forms in semantics/stack.ts the mode needs. */
function stackForm(l: Lowering): '64' | 'flat' | 'legacy' {
  if (l.is64) return '64';
  return l.isFlat ? 'flat' : 'legacy';
}

function popToMemory(l: Lowering): void {
  const { a } = l.insn;
  const rsp = SLOT.rsp / 8;
  if (l.insn.base === rsp) l.insn.disp += a.size; // the address is computed with RSP as after the pop
  const address = l.pinnedAddress(a.size, true);
  l.emit(`load.${a.size}`, { base: SLOT.rsp });
  l.emit(`store.${a.size}`, address);
  l.emit(`adjustSp.${stackForm(l)}`, { imm: a.size });
}

rule(['pushf', 'popf'], (name) => (l) => l.emit(`${name}.${stackForm(l)}.${l.insn.opSize}`));
rule(['leave'], () => (l) => {
  const op = `leave.${stackForm(l)}.${l.insn.opSize}`;
  if (l.has(op)) l.emit(op);
  else l.callout(false);
});

// -- control transfers

/** A direct branch's target as an offset from this page, and whether a link may be made: only within the page. */
function direct(l: Lowering): { imm: number; link: number } {
  return inPage(l.next + l.insn.imm);
}

function inPage(imm: number): { imm: number; link: number } {
  return { imm, link: imm >= 0 && imm < 4096 ? UNRESOLVED : NO_LINK };
}

/** Whether the target's offset from this page needs more than 32 bits: nearly 2 GiB forwards. */
function isFar(l: Lowering): boolean {
  const imm = l.next + l.insn.imm;
  return l.is64 && imm !== (imm | 0);
}

/** A jump or call whose target isFar. */
function branchFar(l: Lowering, op: 'jmp.t1' | 'call.t1'): void {
  l.emit('lea.8', { a: SLOT.t1, base: SLOT.page, disp: l.next });
  l.emit('lea.8', { a: SLOT.t1, base: SLOT.t1, disp: l.insn.imm });
  l.emitBranch(op, true);
}

/**
 * A near branch of legacy code whose target must be cut to 16 bits, or checked against CS. In flat code those of 32 bits
 * need neither.
 */
function isChecked(l: Lowering): boolean {
  return !l.is64 && (l.checked || l.insn.opSize === 2);
}

rule(['jmp', 'call'], (name) => (l) => {
  if (isFar(l)) branchFar(l, name === 'jmp' ? 'jmp.t1' : 'call.t1');
  else if (isChecked(l)) l.emitBranch(`${name}.legacy.${l.insn.opSize}`, true, { imm: direct(l).imm });
  else l.emitBranch(name === 'call' && !l.is64 ? 'call.flat' : name, true, direct(l));
});
rule(['jcc'], () => (l) => {
  const far = isFar(l);
  if (!far && !isChecked(l)) {
    l.emitBranch(`jcc.${l.insn.cc}`, false, direct(l));
    return;
  }
  // The opposite condition leads over a jump.
  l.emitBranch(`jcc.${l.insn.cc ^ 1}`, false, inPage(l.next));
  if (far) branchFar(l, 'jmp.t1');
  else l.emitBranch(`jmp.legacy.${l.insn.opSize}`, true, { imm: direct(l).imm });
});
rule(['loop', 'loope', 'loopne', 'jcxz'], (name) => (l) => {
  if (!l.is64 && l.insn.opSize === 2) l.callout(true);
  else l.emitBranch(`${name}.${l.insn.addrSize}`, false, { imm: direct(l).imm });
});
rule(['ret'], () => (l) => {
  const hasImm = l.insn.a.kind === OPERAND.imm;
  const imm = hasImm ? l.insn.imm : 0;
  if (isChecked(l)) l.emitBranch(`ret.legacy.${l.insn.opSize}`, true, { imm });
  else l.emitBranch(`ret${l.is64 ? '' : '.flat'}${hasImm ? '.imm' : ''}`, true, { imm });
});
rule(['jmpIndirect', 'callIndirect'], (name) => (l) => {
  const { a } = l.insn;
  const op = name === 'jmpIndirect' ? 'jmp.t1' : 'call.t1';
  if (a.kind === OPERAND.mem) l.emit(`load.${a.size}`, l.address(a.size, false));
  else l.emit(`mov.${a.size}.rr`, { a: SLOT.t1, b: l.slot(a) });
  if (l.is64) l.emitBranch(op, true);
  else l.emitBranch(isChecked(l) ? `${op}.legacy.${a.size}` : `${op}.flat`, true);
});

// -- strings and ports

rule(['movs', 'stos', 'lods', 'cmps', 'scas'], (name) => (l) => {
  const { insn } = l;
  const segmented = insn.seg === SEG.fs || insn.seg === SEG.gs;
  if (l.checked || (segmented && !l.is64)) {
    l.callout(true); // TypeScript checks every element against the segments
    return;
  }
  const repeat =
    insn.rep === 0 ? '' : name !== 'cmps' && name !== 'scas' ? '.rep' : insn.rep === 0xf3 ? '.rep.e' : '.rep.ne';
  let base: number = SLOT.zero;
  if (segmented) {
    l.emit('ea.segment64', { imm: insn.seg });
    base = SLOT.ea;
  }
  l.emit(`${name}.${insn.opSize}${repeat}`, { a: l.count - 1, base, index: SLOT.zero, imm: insn.addrSize });
});
rule(['in', 'out'], (name) => (l) => {
  if (l.exactTime) {
    lowerToCallout(l);
    return;
  }
  const port = name === 'in' ? l.insn.b : l.insn.a;
  const data = name === 'in' ? l.insn.a : l.insn.b;
  if (port.kind === OPERAND.imm) l.emitBranch(`${name}.${data.size}.i`, false, { imm: l.insn.imm });
  else l.emitBranch(`${name}.${data.size}`, false);
});
rule(['rdtsc'], () => (l) => (l.exactTime ? lowerToCallout(l) : l.emit('rdtsc')));
rule(['ud', 'invalid'], () => (l) => l.emitBranch('undefined', true));

/** Instructions for TypeScript that change neither the flow nor how code is decoded. */
const STRAIGHT = new Set<OpName>([
  'cpuid',
  'in',
  'out',
  'rdtsc',
  'rdmsr',
  'swapgs',
  'sgdt',
  'sidt',
  'sldt',
  'str',
  'smsw',
  'movFromCr',
  'movFromDr',
  'movFromSeg',
  'rdtscp',
  'rdpmc',
  'lar',
  'lsl',
  'verr',
  'verw',
  'rdrand',
  'lgdt',
  'lidt',
  'cmpxchg16b',
  'fxsave',
  'ldmxcsr',
  'stmxcsr',
  'enter',
  'pusha',
  'popa',
  'xlat',
  'daa',
  'das',
  'aaa',
  'aas',
  'aam',
  'aad',
  'salc',
  'arpl',
  'bound',
]);

/** Lowers an instruction that has no rule. */
export function lowerToCallout(l: Lowering): void {
  l.callout(!STRAIGHT.has(OPS[l.insn.op]!));
}
