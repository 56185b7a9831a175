/** Guests whose vCPUs all run the same code at once. */
import type { GuestMemory } from '../../../src/memory/guest-memory.ts';
import type { BareMetalHarness } from '../harness.ts';
import { registersAtOrigin, STACK_TOP } from '../machine-state.ts';

/** Words that all vCPUs can use: zero at the start. */
export const SHARED = 0x6000;
/** The barrier's counter is behind them. */
const BARRIER = SHARED + 0xff8;
/** Guest memory from here on is free, up to MEMORY_SIZE. */
export const DATA = 0x20_0000;
const MEMORY_SIZE = 0x80_0000;

/**
 * `barrier` waits for all vCPUs; R14 and R15 belong to it. `handlers` are labels by vector for an IDT with 64-bit gates;
 * other vectors exit with 0xee.
 */
export function together(source: string, handlers: Readonly<Record<number, string>> = {}): string {
  const gates = Array.from({ length: 256 }, (_, vector) => `gate ${handlers[vector] ?? 'unexpected'}`);
  return `
    .macro barrier
      addl %r14d, %r15d
      lock incl ${BARRIER}
      .Lwait\\@:
      pause
      cmpl %r15d, ${BARRIER}
      jl .Lwait\\@
    .endm
    load_idt
    movl $LAPIC, %ebx
    movl $0x1ff, 0xf0(%rbx)
    ${source}
    unexpected:
    exit 0xee
    .balign 16
    idt: ${gates.join('\n')}`;
}

export interface Together {
  readonly cpus: number;
  readonly source: string;
  /** Before the guest runs, and when all vCPUs have exited. */
  readonly prepare?: (memory: GuestMemory) => void;
  readonly check?: (memory: GuestMemory) => void;
}

/**
 * Runs the source on all vCPUs in long mode until each exits; gives their exit codes. In RDI each finds its number; R14
 * is how many there are.
 */
export async function runTogether(
  harness: BareMetalHarness,
  { cpus, source, prepare, check }: Together,
): Promise<(number | undefined)[]> {
  await using guest = await harness.start({
    mode: 'long',
    cpus,
    memory: [{ gpa: 0, size: MEMORY_SIZE }],
    source,
  });
  prepare?.(guest.vm.memory);
  const state = await guest.vcpu.getSystemRegisters();
  for (const [id, vcpu] of guest.vcpus.entries()) {
    await vcpu.setMpState('runnable');
    await vcpu.setSystemRegisters({ ...state, apicBase: (await vcpu.getSystemRegisters()).apicBase });
    const own = { rsp: BigInt(STACK_TOP - 0x400 * id), rdi: BigInt(id), r14: BigInt(cpus) };
    await vcpu.setRegisters({ ...registersAtOrigin(), ...own });
  }
  const runs = await Promise.all(guest.vcpus.map((_, id) => guest.run({ id })));
  check?.(guest.vm.memory);
  return runs.map(({ code }) => code);
}
