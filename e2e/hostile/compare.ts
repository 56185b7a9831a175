/** Runs hostile programs on two machines that execute in different ways, and says in what they differ. */
import type { SoftVcpu } from '../../src/hypervisor/soft/vcpu.ts';
import type { HostileMachine } from './machine.ts';
import type { Program } from './program.ts';

const PAGE = 4096;

/**
 * Runs a program on both; one line for each difference. Where a program is stopped depends on how it is executed, so
 * those that do not end by themselves are not compared, nor are those with more than one right outcome.
 */
export function differences(program: Program, a: HostileMachine, b: HostileMachine): string[] {
  for (const machine of [a, b]) {
    machine.load(program);
    machine.run();
  }
  if (a.ending === 'stopped' && b.ending === 'stopped') return [];
  if (!a.keptTables || !b.keptTables) return [];
  const lines: string[] = [];
  const check = (name: string, one: unknown, other: unknown) => {
    if (one !== other) lines.push(`${name}: ${one}, ${other}`);
  };
  check('ending', a.ending, b.ending);
  check('instructions', a.instructions, b.instructions);
  const [one, other] = [stateOf(a.vcpu), stateOf(b.vcpu)];
  for (const name of Object.keys(one)) check(name, one[name], other[name]);
  check('accesses', a.accesses, b.accesses);
  return [...lines, ...memoryDifferences(a.ram, b.ram)];
}

function stateOf(vcpu: SoftVcpu): Record<string, string> {
  const state = { ...vcpu.getRegisters(), ...vcpu.getSystemRegisters(), fpu: hex(vcpu.getFpu().fxsave) };
  return Object.fromEntries(Object.entries(state).map(([name, value]) => [name, shown(value)]));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function shown(value: unknown): string {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  return JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `0x${part.toString(16)}` : part));
}

/** The first byte that differs of each page. */
function memoryDifferences(a: Uint8Array, b: Uint8Array): string[] {
  if (Buffer.compare(a, b) === 0) return [];
  const lines: string[] = [];
  for (let page = 0; page < a.length; page += PAGE) {
    if (Buffer.compare(a.subarray(page, page + PAGE), b.subarray(page, page + PAGE)) === 0) continue;
    const at = a.subarray(page, page + PAGE).findIndex((byte, i) => byte !== b[page + i]) + page;
    lines.push(`memory ${at.toString(16)}: ${a[at]!.toString(16)}, ${b[at]!.toString(16)}`);
  }
  return lines;
}
