/** Our side of the comparison: a machine with one vCPU of the software CPU, which runs one instruction at a time. */
import type { EntryState } from '../../src/arch/x86_64/boot-registers.ts';
import { physicalAddressBits } from '../../src/arch/x86_64/cpuid.ts';
import { ramLayout } from '../../src/arch/x86_64/memory-map.ts';
import { type BootImage, setUpGuest } from '../../src/arch/x86_64/set-up-guest.ts';
import type { Clock, ExitReason } from '../../src/devices/device.ts';
import { Platform } from '../../src/devices/platform.ts';
import { platformByteLength } from '../../src/devices/platform-state.ts';
import { FLAG } from '../../src/hypervisor/soft/architecture.ts';
import type { Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import { OP } from '../../src/hypervisor/soft/decode/opcodes.ts';
import type { Next } from '../../src/hypervisor/soft/engine.ts';
import { CPU } from '../../src/hypervisor/soft/state.ts';
import { SoftVcpu } from '../../src/hypervisor/soft/vcpu.ts';
import { SoftVm } from '../../src/hypervisor/soft/vm.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { setUpVcpu } from '../../src/vm/vcpu-setup.ts';

export interface LockstepGuest {
  readonly boot: BootImage;
  readonly commandLine: string;
  /** MiB. */
  readonly memory: number;
}

/** Guest time that one instruction takes, in nanoseconds. */
const NS_PER_INSTRUCTION = 2;
const MIB = 1 << 20;
const SERIAL_PORTS = 4;

/** Time that depends on nothing but the number of instructions. */
class InstructionClock implements Clock {
  time = 0;

  now(): number {
    return this.time;
  }

  wallTime(): number {
    return 1_700_000_000_000 + Math.floor(this.time / 1e6);
  }
}

/** What an instruction did that another CPU cannot repeat by itself. */
export const EVENT = { interrupt: 1, fault: 2, device: 4, own: 8 } as const;

/** Instructions whose results are the machine's own business. */
const OWN = new Set([
  ...[OP.in, OP.ins, OP.rdtsc, OP.rdtscp, OP.rdpmc, OP.rdrand, OP.cpuid, OP.rdmsr, OP.hlt, OP.vmcall],
  ...[OP.wbinvd, OP.invd],
]);
/** MSRs that are part of the CPU: STAR, LSTAR, CSTAR, FMASK, FS.base, GS.base, KernelGSBase, SYSENTER, EFER. */
const CPU_MSRS = new Set([
  ...[0xc000_0080, 0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084],
  ...[0xc000_0100, 0xc000_0101, 0xc000_0102, 0x174, 0x175, 0x176],
]);

class ObservedVcpu extends SoftVcpu {
  events = 0;

  override execute(insn: Insn): Next {
    if (isOwn(insn, this.state.reg(1))) this.events |= EVENT.own;
    return super.execute(insn);
  }

  override fault(vector: number, errorCode: number): Next {
    this.events |= EVENT.fault;
    return super.fault(vector, errorCode);
  }

  override mmioRead(gpa: number, size: number): void {
    this.events |= EVENT.device;
    super.mmioRead(gpa, size);
  }

  override portRead(port: number, size: number): number {
    this.events |= EVENT.device;
    return super.portRead(port, size);
  }

  override timeStamp(): number {
    this.events |= EVENT.device;
    return super.timeStamp();
  }

  override random(): bigint {
    return 0x0123_4567_89ab_cdefn;
  }
}

/** Whether QEMU is not to execute the instruction. */
export function isOwn(insn: Insn, rcx: bigint): boolean {
  if (insn.op === OP.wrmsr) return !CPU_MSRS.has(Number(rcx & 0xffff_ffffn));
  const cr8 = (insn.op === OP.movToCr && insn.a.reg === 8) || (insn.op === OP.movFromCr && insn.b.reg === 8);
  return cr8 || OWN.has(insn.op);
}

export class Software implements Disposable {
  readonly vcpu: ObservedVcpu;
  readonly entry: EntryState;
  readonly memory: GuestMemory;
  /** Gets what the guest writes to its serial ports. */
  print: (text: string) => void = () => {};
  /** Why the guest has ended. */
  ended: ExitReason | 'triple fault' | undefined;
  /** Guest memory that the hypervisor itself wrote in the last step. */
  readonly written: { gpa: number; length: number }[] = [];
  readonly #vm: SoftVm;
  readonly #clock = new InstructionClock();
  readonly #platform: Platform;

  constructor(guest: LockstepGuest) {
    const ramSize = guest.memory * MIB;
    this.#vm = SoftVm.create({ memory: ramLayout(ramSize), cpus: 1, irqchip: 'kernel' });
    this.vcpu = new ObservedVcpu(this.#vm.handle(0), this.#clock);
    this.memory = this.vcpu.vm.memory;
    this.entry = setUpGuest(this.#vm.memory, {
      boot: guest.boot,
      commandLine: guest.commandLine,
      ramSize,
      cpus: 1,
      addressBits: physicalAddressBits(this.#vm.supportedCpuid()),
      variableMtrrs: 0,
      serialPorts: [1, 2, 3, 4],
      rngSeed: new Uint8Array(32).fill(7),
    });
    this.#platform = this.#createPlatform(ramSize);
    setUpVcpu(this.vcpu, { cpus: 1, entry: this.entry });
    this.vcpu.setGuestDebug({ singleStep: true, breakpoints: [] });
    const write = this.memory.write.bind(this.memory);
    this.memory.write = (gpa, bytes) => {
      this.written.push({ gpa, length: bytes.length });
      write(gpa, bytes);
    };
  }

  [Symbol.dispose](): void {
    this.#vm.close();
  }

  #createPlatform(memoryBelow4G: number): Platform {
    const sink = { write: (bytes: Uint8Array) => this.print(Buffer.from(bytes).toString('latin1')) };
    return new Platform(new SharedArrayBuffer(platformByteLength()), {
      clock: this.#clock,
      irqchip: { kind: 'kernel', interrupts: this.vcpu.vm.interrupts },
      serials: Array.from({ length: SERIAL_PORTS }, () => sink),
      memoryBelow4G,
      memoryAbove4G: 0,
      onExit: (reason) => {
        this.ended = reason;
      },
    });
  }

  /** Executes one instruction; returns EVENT bits. A repeated one that we look up in the middle of is gone on with. */
  step(repeated: boolean): number {
    const { vcpu } = this;
    const { rip } = vcpu.state;
    this.#clock.time += NS_PER_INSTRUCTION;
    this.written.length = 0;
    vcpu.events = this.#interruptComes() ? EVENT.interrupt : 0;
    do this.#run();
    while (repeated && vcpu.events === 0 && vcpu.state.rip === rip);
    if (vcpu.getMpState() === 'halted') this.#sleep();
    return vcpu.events;
  }

  #run(): void {
    const exit = this.vcpu.run(this.#platform);
    if (exit.reason === 'shutdown') this.ended = 'triple fault';
    else if (exit.reason !== 'debug') throw new Error(`our vCPU stops: ${JSON.stringify(exit)}`);
  }

  /** Lets time pass until the next timer. */
  #sleep(): void {
    const { apic, vm } = this.vcpu;
    const next = Math.min(apic.deadline(), vm.irqchip.isa.pit.deadline());
    if (next === Number.POSITIVE_INFINITY) this.ended = 'stopped';
    else this.#clock.time = Math.max(this.#clock.time, next);
  }

  #interruptComes(): boolean {
    const { apic, vm, state } = this.vcpu;
    const { pit } = vm.irqchip.isa;
    const now = this.#clock.time;
    if (pit.deadline() <= now) pit.tick();
    if (apic.deadline() <= now) apic.tick();
    if (this.#platform.timers.deadline() <= now) this.#platform.timers.tick();
    const open = (state.u32(CPU.eflags) & FLAG.if) !== 0 && state.u32(CPU.interruptShadow) === 0;
    return open && apic.attention() !== 0 && apic.pendingVector() >= 0;
  }
}
