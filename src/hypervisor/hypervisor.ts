/**
 * What a hypervisor gives to the machine above it. There are two: `kvm/` (hardware virtualization) and `soft/` (our
 * software CPU). Nothing above this interface knows which one runs.
 *
 * A `Vm` is made on the main thread. Each vCPU runs on a worker of its own: the worker gets `vm.handle(id)` by message
 * and turns it into a `Vcpu` with the `attachVcpu` of the same hypervisor. All methods of a `Vcpu` belong to that worker.
 */
import type { Bus } from '../devices/bus.ts';
import type { Clock, TimedDevice } from '../devices/device.ts';
import type { Gpa, GuestMemory, MemoryLayoutEntry } from '../memory/guest-memory.ts';
import type { MemoryWindow, WindowOptions } from '../memory/memory-window.ts';
import type { VcpuStatistics } from './statistics.ts';

export type HypervisorKind = 'kvm' | 'soft';
/** Where PIC, IOAPIC and PIT live: in the kernel, or in our process with only the LAPIC in the kernel. */
export type IrqchipKind = 'kernel' | 'split';

/** Interrupt entry points; callable from every thread that has attached to the VM. */
export interface InterruptController {
  /**
   * Drives the wire of a Global System Interrupt (0-15 ISA, 16-23 further IOAPIC pins). With a split irqchip the wires
   * belong to the machine's own PIC and IOAPIC, and this throws.
   */
  setLine(gsi: number, level: boolean): void;
  /** A message-signalled interrupt: `address` 0xfeexxxxx (Intel SDM vol. 3, 11.11), `data` 32 bits. */
  signalMsi(address: number, data: number): void;
}

/** A route of a GSI that eventfds raise. */
export interface MsiRoute {
  readonly address: number;
  readonly data: number;
}

/** A guest store that signals an eventfd instead of reaching the bus. */
export interface IoEvent {
  readonly address: number;
  /** The bus that `address` is on. */
  readonly space: 'port' | 'mmio';
  /** Width of the store in bytes; 0 for any. */
  readonly length: 0 | 1 | 2 | 4 | 8;
  /** Only stores of this value; undefined for any. At most 32 bits. */
  readonly match?: number;
  readonly fd: number;
}

/** What a VM offers on the main thread and on every thread that has attached to it. */
export interface VmAccess {
  readonly kind: HypervisorKind;
  readonly memory: GuestMemory;
  /** The memfd that holds all of guest memory, for other processes to map: each region of `memory` says where in it. */
  readonly memoryFd: number;
  /** What can be memory besides RAM, as `VmOptions` names it. Not in `memory`: nothing but the guest accesses it. */
  readonly windows: readonly MemoryWindow[];
  /** The time of a deterministic VM, by which all its devices go. Exact on the thread of its vCPU. */
  readonly guestClock?: Clock | undefined;
  readonly interrupts: InterruptController;
  /**
   * Signals `gsi` whenever the eventfd `fd` is written; `route` makes it an MSI. With `resampleFd` the line stays
   * asserted until the guest ends the interrupt, which is then told through that eventfd (level-triggered INTx). An
   * eventfd that has been written already signals at once; what comes while it is removed waits in it.
   */
  addIrqfd(fd: number, gsi: number, route?: MsiRoute, resampleFd?: number): void;
  removeIrqfd(fd: number, gsi: number): void;
  /**
   * Sets or removes the MSI that `gsi` sends, for the irqfds on it. For a split irqchip also what pin `gsi` of the
   * machine's IOAPIC sends: vectors of level-triggered routes (data bit 15) then come to `endOfInterrupt`.
   */
  setMsiRoute(gsi: number, route: MsiRoute | undefined): void;
  addIoEvent(event: IoEvent): void;
  removeIoEvent(event: IoEvent): void;
  /** What vCPUs of this VM can offer to a guest, as `Vcpu.supportedCpuid`. */
  supportedCpuid(): CpuidEntry[];
  /**
   * Makes vCPU `id` return 'kicked' from run() soon, or from its next run() at once. From any thread, at any time. One
   * kick may be seen twice, but never not at all.
   */
  kick(id: number): void;
}

/** A VM as its maker on the main thread has it. */
export interface Vm extends VmAccess {
  /**
   * By window an eventfd that is written when the guest has touched a page that its file does not have any more. It has
   * found zeroes there, so it must not go on. Undefined where the vCPU's run() ends with an error instead.
   */
  readonly windowFaults: readonly (number | undefined)[];
  /** Starts or stops recording which pages of region `index` of `memory` the guest writes. */
  setDirtyLog(index: number, enabled: boolean): void;
  /** One bit per 4 KiB page of region `index` written since the last call, lowest page in the lowest bit. */
  takeDirtyLog(index: number): Uint8Array;
  /** What vCPU `id` has done so far; it may be running. */
  statistics(id: number): VcpuStatistics;
  /** What a worker needs to attach to vCPU `id`: survives structured clone. */
  handle(id: number): VcpuHandle;
  /** Gives everything back. The vCPUs have left run() for good; guest memory reads as zero from now on. */
  close(): void;
}

export interface VmOptions {
  /** Guest RAM, ordered and without overlaps; addresses and sizes are multiples of 4096. */
  readonly memory: readonly MemoryLayoutEntry[];
  /** Where files can be memory of the guest besides RAM. Windows with an address overlap neither RAM nor each other. */
  readonly windows?: readonly WindowOptions[];
  /** Number of vCPUs, ids 0 to cpus - 1. */
  readonly cpus: number;
  readonly irqchip: IrqchipKind;
  /** Other processes write into guest memory what the guest may execute as it is: disks. */
  readonly hasExternalWriters?: boolean;
  /** For the software CPU; others ignore it. */
  readonly soft?: SoftOptions;
}

/** How the software CPU works. None of it changes what a guest computes. */
export interface SoftOptions {
  /**
   * The VM is deterministic: its time is the number of instructions executed, and what is random to the guest follows
   * from this seed, a non-negative safe integer. Only with one vCPU.
   */
  readonly seed?: number | undefined;
  /** Executions of a block of code before it is compiled: Infinity for never, 0 for at once. */
  readonly jitThreshold?: number | undefined;
  /** A folder in which compiled code is kept for other runs; left out: it is not. */
  readonly keptCode?: string | undefined;
  /** Instructions that a block of decoded code has at most, 1-64 [default: 64]. For tests and for finding bugs. */
  readonly blockLength?: number | undefined;
}

/** The two things that each hypervisor exports. */
export interface Hypervisor {
  readonly kind: HypervisorKind;
  createVm(options: VmOptions): Vm;
  /** On the thread that will run the vCPU. */
  attachVcpu(handle: VcpuHandle): Vcpu;
}

export interface VcpuHandle {
  readonly kind: HypervisorKind;
  readonly id: number;
}

/** The interrupt output of the machine's own PIC pair, for a split irqchip (LINT0 as ExtINT). */
export interface ExternalInterrupt {
  /** Whether INTR is asserted. Asked before every entry into the guest, so cheap. */
  pending(): boolean;
  /** The INTA cycle: the vector of the interrupt that is taken. */
  acknowledge(): number;
}

/** Where a vCPU's exits go: the machine's two buses and, for a split irqchip, its interrupt controllers. */
export interface VcpuBuses {
  readonly ports: Bus;
  readonly mmio: Bus;
  /** Only on the vCPU that the PIC's INTR is wired to. */
  readonly externalInterrupt?: ExternalInterrupt;
  /** A LAPIC ended an interrupt of a level-triggered `vector`: the IOAPIC clears Remote IRR. */
  readonly endOfInterrupt?: (vector: number) => void;
}

/**
 * Why `run` came back.
 * - kicked: somebody called kick(); look for work and call run again
 * - shutdown: triple fault
 * - halted: HLT with no local interrupt controller to wait on (never with an in-kernel LAPIC)
 * - debug: a breakpoint or single step that setGuestDebug asked for
 * - system: the guest asked the hypervisor itself to end the VM
 * - error: the hypervisor cannot go on; `detail` says why
 */
export type VcpuExit =
  | { readonly reason: 'kicked' | 'shutdown' | 'halted' | 'debug' }
  | { readonly reason: 'system'; readonly event: 'shutdown' | 'reset' | 'crash' }
  | { readonly reason: 'error'; readonly detail: string };

/** General registers in the order of the instruction encoding, 64-bit. */
export interface Registers {
  rax: bigint;
  rcx: bigint;
  rdx: bigint;
  rbx: bigint;
  rsp: bigint;
  rbp: bigint;
  rsi: bigint;
  rdi: bigint;
  r8: bigint;
  r9: bigint;
  r10: bigint;
  r11: bigint;
  r12: bigint;
  r13: bigint;
  r14: bigint;
  r15: bigint;
  rip: bigint;
  rflags: bigint;
}

/** A segment register with its hidden part. */
export interface Segment {
  base: bigint;
  /** In bytes, already scaled by the granularity bit. */
  limit: number;
  selector: number;
  /** Descriptor type, 4 bits (Intel SDM vol. 3, 3.4.5.1). */
  type: number;
  /** 1 present. */
  present: number;
  dpl: number;
  /** D/B bit. */
  db: number;
  /** 1 code or data, 0 system. */
  s: number;
  /** 1 for 64-bit code. */
  l: number;
  /** Granularity. */
  g: number;
  avl: number;
  /** 1 if the register holds no usable segment. */
  unusable: number;
}

export interface DescriptorTable {
  base: bigint;
  limit: number;
}

export interface SystemRegisters {
  cs: Segment;
  ds: Segment;
  es: Segment;
  fs: Segment;
  gs: Segment;
  ss: Segment;
  tr: Segment;
  ldt: Segment;
  gdt: DescriptorTable;
  idt: DescriptorTable;
  cr0: bigint;
  cr2: bigint;
  cr3: bigint;
  cr4: bigint;
  cr8: bigint;
  efer: bigint;
  apicBase: bigint;
}

/** The FXSAVE image's contents (Intel SDM vol. 1, 10.5.1). */
export interface FpuState {
  /** 512 bytes in FXSAVE64 layout. */
  readonly fxsave: Uint8Array;
}

/** Pending and injected events, as KVM_GET_VCPU_EVENTS has them. */
export interface VcpuEvents {
  exception: { injected: boolean; vector: number; hasErrorCode: boolean; errorCode: number };
  interrupt: { injected: boolean; vector: number; soft: boolean; shadow: number };
  nmi: { injected: boolean; pending: boolean; masked: boolean };
  sipiVector: number;
}

export interface CpuidEntry {
  readonly leaf: number;
  readonly subleaf: number;
  /** Whether `subleaf` matters for this leaf. */
  readonly indexed: boolean;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export interface MsrEntry {
  readonly index: number;
  readonly value: bigint;
}

export interface GuestDebug {
  readonly singleStep: boolean;
  /** Linear addresses for DR0-DR3. */
  readonly breakpoints: readonly bigint[];
}

/** 'runnable' or what it waits for (KVM_GET_MP_STATE). */
export type MpState = 'runnable' | 'uninitialized' | 'halted' | 'init-received' | 'sipi-received';

/** What a vCPU of a deterministic VM offers besides. All of it belongs to the vCPU's thread. */
export interface DeterministicVcpu {
  /** Guest time: a nanosecond for each instruction, and what a halted CPU waits for. */
  readonly clock: Clock;
  /**
   * From now on ticks `device` before the first instruction that begins at its deadline or later. So a device that
   * completes something does so at a time that is the same in every run.
   */
  add(device: TimedDevice): void;
  /** A deadline has come nearer: to be called by whatever made it so. */
  rearm(): void;
  /**
   * Makes run() come back 'kicked' once, at the first boundary of instructions at guest time `time` or later that needs
   * nothing else to be done differently than without: for tools that look at what the CPU does undisturbed.
   */
  pauseNear(time: number): void;
  /** Every register that the guest's future depends on, by name, and how many instructions were executed. */
  registers(): ReadonlyMap<string, bigint>;
  /** The state of the hypervisor's own devices, by name. */
  devices(): ReadonlyMap<string, Uint8Array>;
}

export interface Vcpu {
  readonly id: number;
  /** Only of a deterministic VM. */
  readonly deterministic?: DeterministicVcpu | undefined;
  /** The VM as this thread sees it. */
  readonly vm: VmAccess;
  /** Runs guest code until one of the VcpuExit reasons; I/O is served through `buses` meanwhile. */
  run(buses: VcpuBuses): VcpuExit;
  /** What this hypervisor can offer to a guest: the machine edits it and gives it back by setCpuid. */
  supportedCpuid(): CpuidEntry[];
  setCpuid(entries: readonly CpuidEntry[]): void;
  getRegisters(): Registers;
  setRegisters(registers: Registers): void;
  getSystemRegisters(): SystemRegisters;
  setSystemRegisters(registers: SystemRegisters): void;
  getFpu(): FpuState;
  setFpu(state: FpuState): void;
  getMsrs(indices: readonly number[]): MsrEntry[];
  setMsrs(entries: readonly MsrEntry[]): void;
  getEvents(): VcpuEvents;
  setEvents(events: VcpuEvents): void;
  getMpState(): MpState;
  setMpState(state: MpState): void;
  /** The LAPIC register page, 1 KiB, in the layout of the xAPIC MMIO page. */
  getLapic(): Uint8Array;
  setLapic(page: Uint8Array): void;
  /** XCR0 (Intel SDM vol. 3, 2.6); 1 where the guest has no XSAVE. */
  getXcr0(): bigint;
  setXcr0(value: bigint): void;
  setGuestDebug(debug: GuestDebug | undefined): void;
  /** Guest virtual to physical by the current page tables; undefined if not mapped. */
  translate(linear: bigint): Gpa | undefined;
  injectNmi(): void;
  /** Tells a guest that uses kvmclock that the vCPU was paused, so that its watchdogs forgive the gap. */
  notePause(): void;
  close(): void;
}
