/** Port I/O, the time stamp, and the ways into TypeScript for everything that is not worth WebAssembly. */
import { VECTOR } from '../architecture.ts';
import { CPU, SLOT } from '../state.ts';
import type { I32 } from '../wasm/expr.ts';
import type { Emit, MicroOps } from './emit.ts';
import type { Size } from './flags.ts';

/** PAUSE uses up the budget like this many instructions. */
const PAUSE_CHARGE = 1000;

export function defineSystem(ops: MicroOps): void {
  ops.hot('nop', () => {});
  // TypeScript executes the instruction: in the middle of a block, or as its end.
  ops.cold('callout', (e) => e.callout());
  ops.cold('callout.end', (e) => e.calloutAtEnd());
  ops.cold('undefined', (e) => e.raise(VECTOR.ud));
  // The block goes on in other records, or its code was overwritten: look the address up again.
  ops.hot('goto', (e) => e.jump());
  ops.cold('stale', (e) => e.lookUpAgain());
  // An instruction of more than 15 bytes.
  ops.cold('protection', (e) => e.raise(VECTOR.gp));
  // A vCPU that waits for another one looks up soon, and makes room for it then (processor.ts).
  ops.cold('pause', (e) => {
    const { f, cpu } = e;
    f.store32(cpu, CPU.pauses, f.load32(cpu, CPU.pauses).add(1));
    e.charge(PAUSE_CHARGE);
  });
  // STI is the last instruction of its block: the next one is executed alone.
  ops.cold('shadow', (e) => {
    e.f.store32(e.cpu, CPU.interruptShadow, 1);
    e.requestAttention();
  });
  // At the start of a block that a single step is made of.
  ops.cold('attention', (e) => e.requestAttention());
  for (const size of [1, 2, 4] as const) {
    ops.cold(`in.${size}`, (e) => readPort(e, e.getSlot(SLOT.rdx, 2).wrap(), size));
    ops.cold(`in.${size}.i`, (e) => readPort(e, e.imm32().and(0xff), size));
    ops.cold(`out.${size}`, (e) => writePort(e, e.getSlot(SLOT.rdx, 2).wrap(), size));
    ops.cold(`out.${size}.i`, (e) => writePort(e, e.imm32().and(0xff), size));
  }
  ops.cold('rdtsc', (e) => {
    // CR4.TSD
    e.f.if(e.f.load64(e.cpu, CPU.cr4).wrap().and(4).and(e.f.load32(e.cpu, CPU.cpl).ne(0).shl(2)), () =>
      e.raise(VECTOR.gp),
    );
    const tsc = e.f.let(e.host.timeStamp());
    e.setSlot(SLOT.rax, 4, tsc);
    e.setSlot(SLOT.rdx, 4, tsc.shrU(32));
  });
}

/** Ports are open to code whose privilege is within IOPL; TypeScript looks at the permission bitmap for the others. */
function checkPrivilege(e: Emit): void {
  const { f } = e;
  const iopl = f.load32(e.cpu, CPU.eflags).shrU(12).and(3);
  f.if(f.load32(e.cpu, CPU.cpl).gtU(iopl), () => e.callout());
}

function readPort(e: Emit, port: I32, size: Size): void {
  checkPrivilege(e);
  e.host.portRead(port, size);
  const { f } = e;
  const value =
    size === 1 ? f.load8u64(e.cpu, CPU.io) : size === 2 ? f.load16u64(e.cpu, CPU.io) : f.load32u64(e.cpu, CPU.io);
  e.setSlot(SLOT.rax, size, value);
  stopIfAsked(e);
}

/** A device may have ended the VM: nothing behind the instruction may run then. */
function stopIfAsked(e: Emit): void {
  e.f.if(e.f.load32(e.cpu, CPU.attention), () => e.jumpTo(e.returnAddress()));
}

function writePort(e: Emit, port: I32, size: Size): void {
  checkPrivilege(e);
  e.f.store64(e.cpu, CPU.io, e.getSlot(SLOT.rax, size));
  e.host.portWrite(port, size);
  stopIfAsked(e);
}
