/**
 * QEMU as nothing but a CPU: no devices, no interrupts, and guest memory in a file that we reach too. It is driven
 * through its debugger stub.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { EntryState } from '../../src/arch/x86_64/boot-registers.ts';
import type { Registers } from '../../src/hypervisor/hypervisor.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { GdbClient } from './gdb-client.ts';
import { PACKET, PACKET_SIZE } from './qemu-layout.ts';

export const QEMU = 'qemu-system-x86_64';
const PAGE = 4096;
/** A page that our boot structures leave free: code that no register write can replace runs there. */
const STUB = 0x3000;
const STUB_SIZE = 64;
const EFER_LMA = 1n << 10n;
const TSS_AVAILABLE = 0x89;
/** `s` takes no interrupts and no timers. */
const STEP_ALONE = 7;

/**
 * Runs its arguments, and when its standard input ends (when we do, in whatever way) ends them and removes the folder $0.
 * Our thread is never free to handle a signal.
 */
const OUTLIVE_NOBODY =
  'exec 3<&0; "$@" & qemu=$!; { cat <&3; kill -9 $qemu; rm -rf "$0"; } > /dev/null 2>&1 & wait $qemu';

/** Whether QEMU is there. */
export function hasQemu(): boolean {
  try {
    execFileSync(QEMU, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export class Qemu implements Disposable {
  readonly gdb: GdbClient;
  /** The registers as of the last `read`, in the layout of qemu-layout.ts. */
  readonly registers = Buffer.alloc(PACKET_SIZE);
  readonly view = new DataView(this.registers.buffer, this.registers.byteOffset, PACKET_SIZE);
  readonly #memory: number;
  readonly #close: () => void;

  /** Starts it with a copy of `memory`, which must begin at 0 and be one piece. */
  static async start(memory: GuestMemory): Promise<Qemu> {
    const folder = mkdtempSync(join(tmpdir(), 'crosvm-lockstep-'));
    using cleanup = new DisposableStack();
    cleanup.defer(() => rmSync(folder, { recursive: true, force: true }));
    const ram = join(folder, 'ram');
    const file = cleanup.adopt(openSync(ram, 'w+'), closeSync);
    writeImage(file, memory);
    const pipe = join(folder, 'gdb');
    execFileSync('mkfifo', [`${pipe}.in`, `${pipe}.out`]);
    const child = cleanup.adopt(launch(ram, memory.size, pipe), (process) => process.stdin?.destroy());
    const [to, from] = await openPipes(pipe, child);
    cleanup.adopt(to, closeSync);
    cleanup.adopt(from, closeSync);
    const gdb = new GdbClient(to, from);
    gdb.order(`Qqemu.sstep=${STEP_ALONE}`);
    const resources = cleanup.move();
    return new Qemu(gdb, file, () => resources.dispose());
  }

  private constructor(gdb: GdbClient, memory: number, close: () => void) {
    this.gdb = gdb;
    this.#memory = memory;
    this.#close = close;
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  read(): void {
    this.gdb.readRegisters(this.registers);
  }

  /** One instruction. */
  step(): void {
    this.gdb.step();
    this.read();
  }

  /** On until `address` is about to be executed; false if that does not come. */
  runTo(address: bigint): boolean {
    const arrived = this.gdb.runTo(address);
    this.read();
    return arrived;
  }

  /** A register of `registers`, 16 bytes at most. */
  get(name: string): bigint {
    const { offset, size } = PACKET[name]!;
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.registers[offset + i]!);
    return value;
  }

  set(name: string, value: bigint): void {
    const { number, offset, size } = PACKET[name]!;
    const bytes = Buffer.alloc(size);
    for (let i = 0; i < size; i++) bytes[i] = Number((value >> BigInt(8 * i)) & 0xffn);
    this.gdb.writeRegister(number, bytes);
    bytes.copy(this.registers, offset);
  }

  readMemory(gpa: number, target: Uint8Array): void {
    readSync(this.#memory, target, 0, target.length, gpa);
  }

  /** For data: QEMU does not notice that code changes. */
  writeMemory(gpa: number, bytes: Uint8Array): void {
    writeSync(this.#memory, bytes, 0, bytes.length, gpa);
  }

  /** From reset into the state in which a kernel starts; its GDT lies in memory. */
  enter({ registers, systemRegisters: system }: EntryState): void {
    const saved = Buffer.alloc(STUB_SIZE);
    this.readMemory(STUB, saved);
    this.set('cs', 0n);
    this.#execute([0x66, 0x0f, 0x01, 0x16, ...word(STUB + 32)], system.gdt); // lgdt
    this.#execute([0x66, 0x0f, 0x01, 0x1e, ...word(STUB + 32)], system.idt); // lidt
    this.set('cr4', system.cr4);
    this.set('cr3', system.cr3);
    this.set('efer', system.efer & ~EFER_LMA);
    this.set('cr0', system.cr0);
    for (const name of ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const) this.set(name, BigInt(system[name].selector));
    this.#loadTaskRegister(system.gdt.base, system.tr.selector);
    this.gdb.writeMemory(STUB, saved);
    for (const [name, value] of Object.entries(registers) as [keyof Registers, bigint][]) this.set(name, value);
    this.read();
  }

  /** LTR makes the TSS busy, and does not take one that is. */
  #loadTaskRegister(gdt: bigint, selector: number): void {
    this.gdb.writeMemory(Number(gdt) + selector + 5, Uint8Array.of(TSS_AVAILABLE));
    this.set('rax', BigInt(selector));
    this.#execute([0x0f, 0x00, 0xd8]); // ltr ax
  }

  #execute(code: readonly number[], table?: { readonly base: bigint; readonly limit: number }): void {
    const bytes = Buffer.alloc(STUB_SIZE);
    bytes.set(code);
    if (table !== undefined) {
      bytes.writeUInt16LE(table.limit, 32);
      bytes.writeUInt32LE(Number(table.base), 34);
    }
    this.gdb.writeMemory(STUB, bytes);
    this.set('rip', BigInt(STUB));
    this.step();
    if (this.get('rip') !== BigInt(STUB + code.length)) throw new Error('QEMU does not reach the entry state');
  }
}

function word(value: number): number[] {
  return [value & 0xff, value >> 8];
}

/** A file of the memory's size with holes where the memory is zero. */
function writeImage(file: number, memory: GuestMemory): void {
  ftruncateSync(file, memory.size);
  const zero = Buffer.alloc(PAGE);
  for (let gpa = 0; gpa < memory.size; gpa += PAGE) {
    const page = memory.slice(gpa, PAGE);
    if (zero.compare(page) !== 0) writeSync(file, page, 0, PAGE, gpa);
  }
}

function launch(ram: string, size: number, pipe: string): ChildProcess {
  const args = [
    ...['-M', 'none,memory-backend=ram', '-m', `${size / 2 ** 20}M`],
    ...['-object', `memory-backend-file,id=ram,size=${size},mem-path=${ram},share=on`],
    // Without a local APIC nothing can interrupt it.
    ...['-accel', 'tcg', '-cpu', 'max,-apic,apic-id=0'],
    ...['-nodefaults', '-display', 'none', '-S', '-gdb', `pipe:${pipe}`],
  ];
  return spawn('sh', ['-c', OUTLIVE_NOBODY, dirname(ram), QEMU, ...args], { stdio: ['pipe', 'ignore', 'inherit'] });
}

/** Opening a FIFO waits for its other end: for QEMU, unless that ends before. */
async function openPipes(pipe: string, child: ChildProcess): Promise<[to: number, from: number]> {
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`QEMU ends with status ${code} before it has started`)));
  });
  ended.catch(() => {});
  const first = open(`${pipe}.out`, 'r');
  try {
    const handle = await Promise.race([first, ended]);
    const from = openSync(`/proc/self/fd/${handle.fd}`, 'r');
    await handle.close();
    return [openSync(`${pipe}.in`, 'w'), from];
  } catch (error) {
    closeSync(openSync(`${pipe}.out`, 'r+')); // lets the thread go that waits in open()
    await first.then((handle) => handle.close()).catch(() => {});
    throw error;
  }
}
