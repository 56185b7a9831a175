/** A software VM in this thread that runs hostile programs one after the other, and what can be seen of it afterwards. */
import { Bus, type BusDevice } from '../../src/devices/bus.ts';
import type { Clock } from '../../src/devices/device.ts';
import type { SoftOptions, SystemRegisters } from '../../src/hypervisor/hypervisor.ts';
import type { Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import type { Next } from '../../src/hypervisor/soft/engine.ts';
import { SPLIT_LOCK } from '../../src/hypervisor/soft/layout.ts';
import { CPU, CPU_SIZE } from '../../src/hypervisor/soft/state.ts';
import { reset } from '../../src/hypervisor/soft/system/reset.ts';
import { SoftVcpu } from '../../src/hypervisor/soft/vcpu.ts';
import { SoftVm } from '../../src/hypervisor/soft/vm.ts';
import { registersAtOrigin, systemRegistersFor } from '../bare-metal/machine-state.ts';
import { EXIT_PORT } from '../bare-metal/prelude.ts';
import { GDT_SIZE, IDT, load, type Program, pageTables, RAM_SIZE, ROM, ROM_SIZE, TABLES } from './program.ts';

const CR0_WP = 0x1_0000n;
const CR0_PG = 0x8000_0000n;
const CR4_PSE = 0x10n;
const CR4_OSFXSR = 0x200n;
const MSR_TSC = 0x10;
const ACCESSED_DIRTY = 0x60;
const GENERAL = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const;
const EXTENDED = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;

/** Time stands still: two runs of a program are the same. */
const CLOCK: Clock = { now: () => 1_000_000_000, wallTime: () => 1_700_000_000_000 };
/** Instructions after which a program is stopped, and what it may execute until it notices. */
const MOST_INSTRUCTIONS = 20_000;
const OVERSHOOT = 3000;
/** Looks at everything else after which it is: an exception whose handler starts with one executes nothing, for ever. */
const MOST_LOOKS = 100_000;

/**
 * How a program ended: it wrote to EXIT_PORT, halted with nothing to wake it, met a triple fault, made the hypervisor
 * give up (code outside of memory), or was stopped in the middle.
 */
export type Ending = 'exited' | 'halted' | 'shutdown' | 'error' | 'stopped';

/** How a machine executes: all must come to the same. */
export interface Execution {
  /** Instructions between two looks of the vCPU at everything else. */
  readonly budget?: number;
  readonly soft?: SoftOptions;
}

/** A vCPU on which nothing is random, nothing sleeps, and programs are stopped after some time. */
class HostileVcpu extends SoftVcpu {
  budget = 1500;
  limit = 0;
  looks = 0;

  get instructions(): number {
    return this.state.counter(CPU.instructions);
  }

  get isOver(): boolean {
    return this.instructions >= this.limit || this.looks >= MOST_LOOKS;
  }

  override random(): bigint {
    return 0x0123_4567_89ab_cdefn;
  }

  override nextBudget(): number {
    this.looks++;
    if (this.isOver) this.vm.kick(0);
    return Math.max(1, Math.min(this.budget, this.limit - this.instructions));
  }

  override execute(insn: Insn): Next {
    const next = super.execute(insn);
    if (this.activity !== 'running') this.vm.kick(0);
    return next;
  }
}

export class HostileMachine {
  readonly vcpu: HostileVcpu;
  ending: Ending | 'running' = 'running';
  /** A hash of what reached the buses, in order. */
  accesses = 0;
  readonly #vm: SoftVm;
  readonly #buses = { ports: new Bus(), mmio: new Bus() };
  readonly #rom = new Uint8Array(ROM_SIZE).fill(0xa5);
  readonly #outside: Uint8Array;
  readonly #tables = new Uint8Array(TABLES.end - TABLES.start);
  readonly #lapic: Uint8Array;
  readonly #system: SystemRegisters;

  constructor({ budget, soft = {} }: Execution = {}) {
    const memory = [
      { gpa: 0, size: RAM_SIZE },
      { gpa: ROM, size: ROM_SIZE, readOnly: true },
    ];
    this.#vm = SoftVm.create({ memory, cpus: 1, irqchip: 'kernel', soft });
    this.vcpu = new HostileVcpu(this.#vm.handle(0), CLOCK);
    if (budget !== undefined) this.vcpu.budget = budget;
    this.#lapic = this.vcpu.getLapic();
    this.#system = this.vcpu.getSystemRegisters();
    this.#buses.ports.insert(this.#recorder('port'), 0, 0x1_0000);
    this.#buses.mmio.insert(this.#recorder('mmio'), 0, 2 ** 52);
    this.#vm.memory.write(ROM, this.#rom);
    this.#outside = this.vcpu.state.bytes.slice(CPU_SIZE, SPLIT_LOCK);
  }

  [Symbol.dispose](): void {
    this.#vm.close();
  }

  get instructions(): number {
    return this.vcpu.instructions;
  }

  get ram(): Uint8Array {
    return this.#vm.memory.slice(0, RAM_SIZE);
  }

  /** Begins anew with a program. */
  load(program: Program): void {
    const { vcpu } = this;
    this.#vm.memory.fill(0, RAM_SIZE, 0);
    load(program, this.#vm.memory);
    this.#tables.set(this.ram.subarray(TABLES.start, TABLES.end));
    vcpu.forgetCode();
    reset(vcpu);
    vcpu.setMpState('runnable');
    vcpu.injected = undefined;
    vcpu.setLapic(this.#lapic);
    vcpu.setSystemRegisters(systemRegisters(program, this.#system));
    const values = [...GENERAL, ...EXTENDED].map((name, i) => [name, program.registers[i]!]);
    vcpu.setRegisters({ ...registersAtOrigin(), ...Object.fromEntries(values), rip: BigInt(program.entries[0]!) });
    vcpu.setMsrs([{ index: MSR_TSC, value: 0n }]);
    vcpu.state.setCounter(CPU.instructions, 0);
    this.accesses = 0;
    this.ending = 'running';
  }

  /**
   * Whether page tables are as they were at the start, but for accessed and dirty bits. When an entry that changes comes
   * into effect is up to the processor's caches, so programs that change any may have several outcomes.
   */
  get keptTables(): boolean {
    const { ram } = this;
    for (let at = TABLES.start; at < TABLES.end; at++) {
      if (((ram[at]! ^ this.#tables[at - TABLES.start]!) & ~ACCESSED_DIRTY) !== 0) return false;
    }
    return true;
  }

  /** Runs the program to its end. */
  run(): void {
    const { vcpu } = this;
    vcpu.limit = MOST_INSTRUCTIONS;
    vcpu.looks = 0;
    while (this.ending === 'running') this.#enter();
    const most = MOST_INSTRUCTIONS + OVERSHOOT;
    if (vcpu.instructions > most) throw new Error(`${vcpu.instructions} instructions are more than ${most}`);
    this.#checkCanaries();
  }

  #enter(): void {
    const { vcpu } = this;
    const exit = vcpu.run(this.#buses);
    if (this.ending !== 'running') return;
    if (exit.reason === 'shutdown' || exit.reason === 'error') this.ending = exit.reason;
    else if (vcpu.getMpState() === 'halted') this.ending = 'halted';
    else if (vcpu.isOver) this.ending = 'stopped';
  }

  #checkCanaries(): void {
    const { bytes } = this.vcpu.state;
    if (Buffer.compare(this.#vm.memory.slice(ROM, ROM_SIZE), this.#rom) !== 0) throw new Error('the ROM has changed');
    // The blocks of vCPUs that there are not, and the table of regions; locks follow.
    if (Buffer.compare(bytes.subarray(CPU_SIZE, SPLIT_LOCK), this.#outside) !== 0) {
      throw new Error('memory outside of the guest has changed');
    }
  }

  #recorder(space: string): BusDevice {
    return {
      read: (address, data) => {
        data.fill(address & 0xff);
        this.#note(address % 0x1_0000_0000);
        this.#note(data.length);
      },
      write: (address, data) => {
        if (space === 'port' && address === EXIT_PORT) {
          this.ending = 'exited';
          this.vcpu.vm.kick(0);
        } else {
          this.#note(~(address % 0x1_0000_0000));
          for (const byte of data) this.#note(byte);
        }
      },
    };
  }

  /** FNV-1a over words. */
  #note(value: number): void {
    this.accesses = Math.imul(this.accesses ^ value, 0x0100_0193);
  }
}

function systemRegisters({ mode }: Program, atReset: SystemRegisters): SystemRegisters {
  const basic = systemRegistersFor(mode === 'paged' ? 'protected' : mode, atReset);
  if (mode === 'real') return basic;
  const tables = { gdt: { base: basic.gdt.base, limit: GDT_SIZE - 1 }, idt: { base: BigInt(IDT), limit: 0xfff } };
  const cr3 = BigInt(pageTables(mode, 'first'));
  const paged = mode === 'paged' ? { cr0: basic.cr0 | CR0_PG | CR0_WP, cr4: CR4_PSE | CR4_OSFXSR } : {};
  return { ...basic, ...tables, cr3, ...paged };
}
