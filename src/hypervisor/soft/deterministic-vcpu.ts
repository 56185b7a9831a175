/** A deterministic vCPU's time and state, as the machine and tools have them. */
import type { Clock, TimedDevice } from '../../devices/device.ts';
import type { DeterministicVcpu } from '../hypervisor.ts';
import { LDTR, TR } from './architecture.ts';
import type { Processor } from './processor.ts';
import { CPU, SEGMENT, SEGMENT_SIZE } from './state.ts';
import type { CpuState } from './system/cpu-state.ts';
import type { VcpuSignals } from './vcpu-signals.ts';
import type { InstructionTime } from './vcpu-time.ts';

const GENERAL = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const MTRR_FIXED = 11;
const MTRR_VARIABLE = 16;
/** Fields of the block that are registers of 64 bits. */
const U64 = {
  ...{ cr0: CPU.cr0, cr2: CPU.cr2, cr3: CPU.cr3, cr4: CPU.cr4, efer: CPU.efer },
  ...{ 'gdtr.base': CPU.gdtrBase, 'idtr.base': CPU.idtrBase, dr6: CPU.dr6, dr7: CPU.dr7 },
  ...{ star: CPU.star, lstar: CPU.lstar, cstar: CPU.cstar, sfmask: CPU.sfmask, kernel_gs_base: CPU.kernelGsBase },
  ...{ sysenter_cs: CPU.sysenterCs, sysenter_esp: CPU.sysenterEsp, sysenter_eip: CPU.sysenterEip },
  ...{ pat: CPU.pat, mtrr_def_type: CPU.mtrrDefType, tsc_aux: CPU.tscAux, misc_enable: CPU.miscEnable },
  ...{ kvm_wall_clock: CPU.kvmWallClock, kvm_system_time: CPU.kvmSystemTime },
  ...{ random: CPU.random, 'x87.ip': CPU.x87Ip, 'x87.dp': CPU.x87Dp },
};
const U32 = {
  ...{ 'gdtr.limit': CPU.gdtrLimit, 'idtr.limit': CPU.idtrLimit, cpl: CPU.cpl, mxcsr: CPU.mxcsr },
  ...{ nmi_blocked: CPU.nmiBlocked, interrupt_shadow: CPU.interruptShadow },
};
const U16 = {
  ...{ 'x87.control': CPU.x87Control, 'x87.status': CPU.x87Status, 'x87.tag': CPU.x87Tag, 'x87.opcode': CPU.x87Opcode },
  ...{ 'x87.cs': CPU.x87Cs, 'x87.ds': CPU.x87Ds },
};

export class SoftDeterminism implements DeterministicVcpu {
  readonly #cpu: Processor;
  readonly #time: InstructionTime;
  readonly #signals: VcpuSignals;

  constructor(cpu: Processor, time: InstructionTime, signals: VcpuSignals) {
    this.#cpu = cpu;
    this.#time = time;
    this.#signals = signals;
  }

  get clock(): Clock {
    return this.#time.clock;
  }

  add(device: TimedDevice): void {
    this.#time.add(device);
    this.rearm();
  }

  rearm(): void {
    this.#signals.notify();
  }

  pauseNear(time: number): void {
    this.#time.pauseNear(time, () => this.#signals.kick());
  }

  registers(): ReadonlyMap<string, bigint> {
    const { state, activity, tscDeadline } = this.#cpu;
    const all = new Map<string, bigint>([['rip', state.rip], ...general(state)]);
    const add = (fields: Readonly<Record<string, number>>, read: (at: number) => bigint) => {
      for (const [name, at] of Object.entries(fields)) all.set(name, read(at));
    };
    all.set('rflags', BigInt(state.rflags));
    for (const [n, name] of [...SEGMENTS.entries(), [LDTR, 'ldtr'], [TR, 'tr']] as const)
      addSegment(all, state, n, name);
    add(U64, (at) => state.u64(at));
    add(U32, (at) => BigInt(state.u32(at)));
    add(U16, (at) => BigInt(state.view.getUint16(state.block + at, true)));
    addVectors(all, state);
    for (let n = 0; n < 4; n++) all.set(`dr${n}`, state.u64(CPU.dr + 8 * n));
    for (let n = 0; n < MTRR_FIXED; n++) all.set(`mtrr_fixed${n}`, state.u64(CPU.mtrrFixed + 8 * n));
    for (let n = 0; n < MTRR_VARIABLE; n++) all.set(`mtrr_variable${n}`, state.u64(CPU.mtrrVariable + 8 * n));
    // What is left are the places where the vCPU's own thread keeps something of the guest.
    all.set('instructions', BigInt(state.counter(CPU.instructions)));
    all.set('time', BigInt(this.clock.now()));
    all.set('tsc', this.#cpu.readTsc());
    all.set('tsc_deadline', tscDeadline);
    all.set('halted', activity === 'running' ? 0n : 1n);
    return all;
  }

  devices(): ReadonlyMap<string, Uint8Array> {
    return this.#cpu.vm.deviceStates();
  }
}

function general(state: CpuState): [string, bigint][] {
  return Array.from({ length: 16 }, (_, n) => [GENERAL[n] ?? `r${n}`, state.reg(n)]);
}

function addSegment(all: Map<string, bigint>, state: CpuState, n: number, name: string): void {
  const at = CPU.segments + n * SEGMENT_SIZE;
  all.set(`${name}.base`, state.u64(at + SEGMENT.base));
  all.set(`${name}.limit`, BigInt(state.u32(at + SEGMENT.limit)));
  all.set(`${name}.attributes`, BigInt(state.u32(at + SEGMENT.attributes)));
  all.set(name, BigInt(state.selector(n)));
}

/** 128 bits of the registers XMM0-15, 80 of R0-R7. */
function addVectors(all: Map<string, bigint>, state: CpuState): void {
  const wide = (at: number, mask: bigint) => ((state.u64(at + 8) & mask) << 64n) | state.u64(at);
  for (let n = 0; n < 16; n++) all.set(`xmm${n}`, wide(CPU.xmm + 16 * n, (1n << 64n) - 1n));
  for (let n = 0; n < 8; n++) all.set(`x87.r${n}`, wide(CPU.x87 + 16 * n, 0xffffn));
}
