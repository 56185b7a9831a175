/** IRET in every mode (Intel SDM vol. 2, IRET). */
import { CS, FLAG, TR, VECTOR } from '../architecture.ts';
import { type Insn, SEG } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import { arrive, checkOffset, returnSegment, returnStack } from './far-transfers.ts';
import { poppedFlags, setFlags } from './flags.ts';
import { nextRip } from './operands.ts';
import { dropPrivilegedSegments, setRealSegment } from './segments.ts';
import { Stack, setStackPointer } from './stack.ts';
import type { Next, SystemCpu } from './system-cpu.ts';
import { switchTask } from './task-switch.ts';

export function iret({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  if (!state.isProtected || state.isVirtual8086) returnReal(state, size);
  else if ((state.u32(CPU.eflags) & FLAG.nt) !== 0) returnToTask(state, insn);
  else returnProtected(state, size);
  state.setU32(CPU.nmiBlocked, 0);
  state.updateMode();
  return 'jump';
}

function returnReal(state: CpuState, size: AccessSize): void {
  if (state.isVirtual8086 && ((state.rflags >> 12) & 3) !== 3) state.raise(VECTOR.gp);
  const stack = Stack.current(state);
  const rip = stack.pop(size);
  const selector = Number(stack.pop(size) & 0xffffn);
  const image = Number(stack.pop(size) & 0xffff_ffffn);
  if (rip > BigInt(state.segmentLimit(CS))) state.raise(VECTOR.gp);
  stack.commit();
  setRealSegment(state, CS, selector);
  state.rip = rip;
  setFlags(state, poppedFlags(state, image, size, state.cpl, FLAG.rf));
}

/** NT: back to the task that the TSS links to. Long mode has no tasks. */
function returnToTask(state: CpuState, insn: Insn): void {
  if (state.isLongMode) state.raise(VECTOR.gp);
  const link = state.asSupervisor(() => state.read(state.segmentBase(TR), 2));
  switchTask(state, Number(link), 'iret', nextRip(state, insn));
}

function returnProtected(state: CpuState, size: AccessSize): void {
  const from64 = state.is64BitCode;
  const { cpl } = state;
  const stack = Stack.current(state);
  const rip = stack.pop(size);
  const selector = Number(stack.pop(size) & 0xffffn);
  const image = Number(stack.pop(size) & 0xffff_ffffn);
  if ((image & FLAG.vm) !== 0 && cpl === 0 && size === 4 && !state.isLongMode) {
    returnToVirtual8086(state, stack, rip, selector, image);
    return;
  }
  const code = returnSegment(state, selector);
  const newCpl = selector & 3;
  const outer = newCpl !== cpl;
  checkOffset(state, code, rip);
  const flags = poppedFlags(state, image, size, cpl, FLAG.rf);
  if (outer || from64) {
    // 64-bit code returns to the stack in its frame whatever the privilege.
    const pointer = stack.pop(size);
    const ss = Number(stack.pop(size) & 0xffffn);
    const segment = returnStack(state, ss, newCpl, code);
    arrive(state, code, newCpl, rip, { selector: ss, segment });
    setStackPointer(state, pointer);
    if (outer) dropPrivilegedSegments(state);
  } else {
    arrive(state, code, newCpl, rip);
    setStackPointer(state, stack.pointer);
  }
  setFlags(state, flags);
}

function returnToVirtual8086(state: CpuState, stack: Stack, rip: bigint, cs: number, image: number): void {
  const pointer = stack.pop(4);
  const selectors = [SEG.ss, SEG.es, SEG.ds, SEG.fs, SEG.gs].map(
    (segment) => [segment, Number(stack.pop(4) & 0xffffn)] as const,
  );
  if (rip > 0xffffn) state.raise(VECTOR.gp);
  setFlags(state, poppedFlags(state, image, 4, 0, FLAG.rf) | FLAG.vm);
  state.setCpl(3);
  setRealSegment(state, CS, cs);
  for (const [segment, selector] of selectors) setRealSegment(state, segment, selector);
  state.setReg(4, pointer, 4);
  state.rip = rip;
}
