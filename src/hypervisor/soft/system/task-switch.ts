/** Hardware task switches of protected mode (Intel SDM vol. 3, 7.3). There are none in long mode. */
import { CR0, CS, FLAG, LDTR, SS, TR, VECTOR } from '../architecture.ts';
import { SEG } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import type { CpuState } from './cpu-state.ts';
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isReadable,
  readDescriptor,
  systemType,
  SYSTEM_TYPE as T,
  writeAccessByte,
} from './descriptors.ts';
import { setFlags } from './flags.ts';
import { checkStackDescriptor, setFromDescriptor, setNullSegment, setRealSegment } from './segments.ts';
import { isTss16 } from './tss.ts';

export type TaskSource = 'jump' | 'call' | 'iret' | 'interrupt';

/** Where a TSS has its fields; the general registers and the segments follow each other. */
interface TssLayout {
  readonly size: 2 | 4;
  readonly limit: number;
  readonly cr3: number;
  readonly ip: number;
  readonly registers: number;
  readonly segments: number;
  readonly segmentCount: number;
  readonly ldt: number;
}
const LAYOUT16: TssLayout = {
  size: 2,
  limit: 43,
  cr3: -1,
  ip: 14,
  registers: 18,
  segments: 34,
  segmentCount: 4,
  ldt: 42,
};
const LAYOUT32: TssLayout = {
  size: 4,
  limit: 103,
  cr3: 28,
  ip: 32,
  registers: 40,
  segments: 72,
  segmentCount: 6,
  ldt: 96,
};

/**
 * Switches to the task of TSS `selector`. `returnRip` and `flags` are what the old task goes on with. Faults from the
 * load of the new task's segments on happen in the new task.
 */
export function switchTask(
  state: CpuState,
  selector: number,
  source: TaskSource,
  returnRip: bigint,
  ext = 0,
  flags = state.rflags,
): void {
  const d = findTask(state, selector, source, ext);
  const next = layoutOf(d);
  state.asSupervisor(() => {
    state.probeWrite(d.base, next.limit + 1);
    saveTask(state, isTss16(state) ? LAYOUT16 : LAYOUT32, returnRip, source === 'iret' ? flags & ~FLAG.nt : flags);
    const oldTask = BigInt(state.selector(TR));
    if (source === 'jump' || source === 'iret') releaseTask(state);
    if (source === 'call' || source === 'interrupt') state.write(d.base, 2, oldTask);
    if (source !== 'iret') writeAccessByte(state, d, (d.attributes | 2) & 0xff);
  });
  state.setSegment(TR, selector, d.base, d.limit, d.attributes | 2);
  state.setU64(CPU.cr0, BigInt(state.cr0 | CR0.ts) & 0xffff_ffffn);
  loadTask(state, d.base, next, source === 'call' || source === 'interrupt', ext);
}

function layoutOf(d: Descriptor): TssLayout {
  return (systemType(d.attributes) & ~2) === T.tss16 ? LAYOUT16 : LAYOUT32;
}

function findTask(state: CpuState, selector: number, source: TaskSource, ext: number): Descriptor {
  const error = (selector & 0xfffc) | ext;
  const vector = source === 'iret' ? VECTOR.ts : VECTOR.gp;
  if (isNull(selector) || (selector & 4) !== 0) state.raise(vector, error);
  const d = readDescriptor(state, selector, vector, ext);
  const type = systemType(d.attributes);
  const busy = source === 'iret' ? 2 : 0;
  if (type !== (T.tss | busy) && type !== (T.tss16 | busy)) state.raise(vector, error);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
  if (d.limit < layoutOf(d).limit) state.raise(VECTOR.ts, error);
  return d;
}

function saveTask(state: CpuState, layout: TssLayout, rip: bigint, flags: number): void {
  const { size } = layout;
  const base = state.segmentBase(TR);
  if (state.segmentLimit(TR) < layout.limit) state.raise(VECTOR.ts, state.selector(TR) & 0xfffc);
  state.probeWrite(base, layout.limit + 1);
  const put = (offset: number, value: bigint) => state.write(base + BigInt(offset), size, value);
  put(layout.ip, rip);
  put(layout.ip + size, BigInt(flags));
  for (let n = 0; n < 8; n++) put(layout.registers + n * size, state.reg(n));
  for (let n = 0; n < layout.segmentCount; n++) put(layout.segments + n * size, BigInt(state.selector(n)));
}

/** Clears the busy bit of the task that ends. */
function releaseTask(state: CpuState): void {
  const old = readDescriptor(state, state.selector(TR));
  writeAccessByte(state, old, old.attributes & 0xfd);
}

function loadTask(state: CpuState, base: bigint, layout: TssLayout, nested: boolean, ext: number): void {
  const { size } = layout;
  const get = (offset: number) => state.asSupervisor(() => state.read(base + BigInt(offset), size));
  const rip = get(layout.ip);
  const flags = Number(get(layout.ip + size));
  const registers = Array.from({ length: 8 }, (_, n) => get(layout.registers + n * size));
  const selectors = Array.from({ length: 6 }, (_, n) =>
    n < layout.segmentCount ? Number(get(layout.segments + n * size) & 0xffffn) : 0,
  );
  const ldt = Number(get(layout.ldt) & 0xffffn);
  if (layout.cr3 >= 0 && (state.cr0 & CR0.pg) !== 0) {
    const cr3 = get(layout.cr3);
    state.setU64(CPU.cr3, cr3);
    state.tlb.flushNonGlobal();
  }
  registers.forEach((value, n) => {
    state.setReg(n, size === 2 ? value | 0xffff_0000n : value, 4);
  });
  state.rip = rip;
  setFlags(state, (nested ? flags | FLAG.nt : flags) & 0x3f_7fd7);
  selectors.forEach((selector, n) => {
    setNullSegment(state, n, selector);
  });
  loadLdt(state, ldt, ext);
  if (state.isVirtual8086) {
    state.setCpl(3);
    selectors.forEach((selector, n) => {
      setRealSegment(state, n, selector);
    });
  } else {
    state.setCpl(selectors[CS]! & 3);
    loadTaskSegments(state, selectors, ext);
  }
  state.updateMode();
}

function loadLdt(state: CpuState, selector: number, ext: number): void {
  setNullSegment(state, LDTR, selector);
  if (isNull(selector)) return;
  const error = (selector & 0xfffc) | ext;
  if ((selector & 4) !== 0) state.raise(VECTOR.ts, error);
  const d = readDescriptor(state, selector, VECTOR.ts, ext);
  if (systemType(d.attributes) !== T.ldt || !isPresent(d.attributes)) state.raise(VECTOR.ts, error);
  state.setSegment(LDTR, selector, d.base, d.limit, d.attributes);
}

function loadTaskSegments(state: CpuState, selectors: readonly number[], ext: number): void {
  const { cpl } = state;
  const code = usable(state, selectors[CS]!, ext);
  const dpl = dplOf(code.attributes);
  if (!isCode(code.attributes) || (isConforming(code.attributes) ? dpl > cpl : dpl !== cpl)) {
    state.raise(VECTOR.ts, (code.selector & 0xfffc) | ext);
  }
  setFromDescriptor(state, CS, code.selector, code);
  if (isNull(selectors[SS]!)) state.raise(VECTOR.ts, ext);
  const stack = readDescriptor(state, selectors[SS]!, VECTOR.ts, ext);
  checkStackDescriptor(state, stack, cpl, VECTOR.ts, ext);
  setFromDescriptor(state, SS, stack.selector, stack);
  for (const n of [SEG.es, SEG.ds, SEG.fs, SEG.gs]) {
    const selector = selectors[n]!;
    if (isNull(selector)) continue;
    const d = usable(state, selector, ext);
    const denied = !isConforming(d.attributes) && Math.max(cpl, selector & 3) > dplOf(d.attributes);
    if (!isReadable(d.attributes) || denied) state.raise(VECTOR.ts, (selector & 0xfffc) | ext);
    setFromDescriptor(state, n, selector, d);
  }
}

function usable(state: CpuState, selector: number, ext: number): Descriptor {
  if (isNull(selector)) state.raise(VECTOR.ts, ext);
  const d = readDescriptor(state, selector, VECTOR.ts, ext);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, (selector & 0xfffc) | ext);
  return d;
}
